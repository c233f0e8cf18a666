"""N-09: division and square root are correctly rounded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from samebits.numerics import elementwise
from samebits.numerics.arrays import F32
from samebits.numerics.library import Library

Parse = Callable[[Sequence[str]], F32]


def test_division(native: Library, f32: Parse) -> None:
    x, y = f32(["0x1p+0", "0x1p+0", "0x1p-126", "-0x1p-149"]), f32(["0x1.8p+1", "0x1.4p+3", "0x1.8p+1", "0x1p+1"])
    expected = [0x3EAAAAAB, 0x3DCCCCCD, 0x002AAAAB, 0x80000000]
    assert elementwise.div(x, y).view(np.uint32).tolist() == expected


def test_square_root(native: Library, f32: Parse) -> None:
    x = f32(["0x1p+1", "0x1p-149", "-0x0p+0", "0x1.fffffep+127"])
    assert elementwise.sqrt(x).view(np.uint32).tolist() == [0x3FB504F3, 0x1A3504F3, 0x80000000, 0x5F7FFFFF]
