"""Conversions between float32 and the 16-bit formats (N-14), element by element, by integers.

NumPy has no bfloat16: its bit patterns are an array of uint16. Arrays are C-contiguous, of any shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from samebits.numerics import library
from samebits.numerics.arrays import (
    BF16,
    F16,
    F32,
    FLOAT16,
    FLOAT32,
    UINT16,
    Numbers,
    check_apart,
    check_contiguous,
    check_dtype,
    check_shape,
    check_writable,
    pointer,
)
from samebits.numerics.observation import observed


@observed()
def convert_f32_bf16(x: F32, *, out: BF16 | None = None) -> BF16:
    """Return x rounded to bfloat16 patterns, ties to even, subnormals kept, NaN made quiet (N-14)."""
    converted: BF16 = _convert("convert_f32_bf16", x, FLOAT32, UINT16, out)
    return converted


@observed()
def convert_bf16_f32(x: BF16, *, out: F32 | None = None) -> F32:
    """Return the float32 of bfloat16 patterns, exactly (N-14)."""
    converted: F32 = _convert("convert_bf16_f32", x, UINT16, FLOAT32, out)
    return converted


@observed()
def convert_f16_f32(x: F16, *, out: F32 | None = None) -> F32:
    """Return the float32 of float16, exactly (N-14)."""
    converted: F32 = _convert("convert_f16_f32", x, FLOAT16, FLOAT32, out)
    return converted


@observed()
def convert_f32_f16(x: F32, *, out: F16 | None = None) -> F16:
    """Return x rounded to float16, ties to even, subnormals kept, NaN made quiet (N-14)."""
    converted: F16 = _convert("convert_f32_f16", x, FLOAT32, FLOAT16, out)
    return converted


def _convert(name: str, x: Numbers, from_dtype: np.dtype[Any], to_dtype: np.dtype[Any], out: Numbers | None) -> Any:
    where = f"{name}, N-14"
    check_dtype("x", x, (from_dtype,), n_dims=None, where=where)
    check_contiguous("x", x, where=where)
    if out is None:
        out = np.empty(x.shape, dtype=to_dtype)
    else:
        check_dtype("out", out, (to_dtype,), n_dims=None, where=where)
        check_shape("out", out, x.shape, where=where)
        check_contiguous("out", out, where=where)
        check_writable("out", out, where=where)
        check_apart("out", out, "x", x, where=where)
    library.loaded().call(f"sb_{name}", x.size, pointer(x), pointer(out), library.threads())
    return out
