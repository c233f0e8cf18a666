"""The tensors of a base as float32 arrays, taken from its mapped files one at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from samebits.canonical.safetensors_file import TensorFile
from samebits.models.base import Base
from samebits.models.shapes import tensors_of
from samebits.numerics.arrays import F32
from samebits.numerics.conversions import convert_bf16_f32, convert_f16_f32


class Weights:
    """Reads a base's tensors by name; nothing is held but the maps of its files.

    Args:
        base: as `find_base` checked it: every tensor of its configuration is there, in the right shape.
    """

    def __init__(self, base: Base) -> None:
        self._names = frozenset(tensors_of({**base.config, "initializer_range": 0}))
        self._files = {name: file for file in map(TensorFile, base.weight_files) for name in file.tensors}

    def __contains__(self, name: str) -> bool:
        """Whether the configuration has this tensor: what else lies in the files is no part of the model."""
        return name in self._names

    def read(self, name: str) -> F32:
        """Return a tensor as a new float32 array of native byte order; float16 and bfloat16 convert exactly (N-14)."""
        # A base saved without its head has no first part in its names.
        found = name if name in self._files else name.partition(".")[2]
        file = self._files[found]
        array, dtype = _native(file.array(found)), file.tensors[found].dtype
        if dtype == "BF16":
            return convert_bf16_f32(array)
        if dtype == "F16":
            return convert_f16_f32(array)
        return array

    def release(self) -> None:
        """Let go of the pages read so far."""
        for file in self._files.values():
            file.release()


def _native(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return an aligned copy in this machine's byte order: a file's layout must reach no kernel."""
    return array.astype(array.dtype.newbyteorder("="), order="C", copy=True)
