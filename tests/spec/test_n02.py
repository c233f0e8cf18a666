"""N-02: an fma where a clause says so, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from samebits.numerics import elementwise
from samebits.numerics.arrays import F32
from samebits.numerics.library import Library

Parse = Callable[[Sequence[str]], F32]


def test_the_two_ways_to_multiply_and_add_differ(native: Library, f32: Parse) -> None:
    """(1 + 2^-12)^2 = 1 + 2^-11 + 2^-24, a tie that rounds to 1 + 2^-11; one rounding keeps the 2^-24."""
    x, minus = f32(["0x1.001p+0"]), f32(["-0x1.002p+0"])
    assert elementwise.add_scaled(minus, x, 1 + 2.0**-12).tolist() == [0.0]
    assert elementwise.fma(x, x, out=minus.copy()).tolist() == [2.0**-24]
