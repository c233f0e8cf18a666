"""The library in use, and words for bit patterns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from samebits.numerics.arrays import F32


@pytest.fixture
def f32() -> Callable[[Sequence[str]], F32]:
    """`f32(texts)`: hex floats as a float32 array; each must be a float32 value."""

    def parse(texts: Sequence[str]) -> F32:
        values = [float.fromhex(text) for text in texts]
        array = np.array(values, dtype=np.float32)
        assert array.tolist() == values
        return array

    return parse
