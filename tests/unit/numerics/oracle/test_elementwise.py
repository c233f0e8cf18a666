"""Two roundings, told from one by hand; tests/oracle holds every kernel against this function."""

from __future__ import annotations

from samebits.numerics.oracle.binary32 import ONE, SIGN, ZERO, fma
from samebits.numerics.oracle.elementwise import add_scaled

ABOVE_ONE = ONE + 1
SQUARE_ROUNDED = ONE + 2


def test_the_product_is_rounded_before_the_sum() -> None:
    assert add_scaled(SIGN | SQUARE_ROUNDED, ABOVE_ONE, ABOVE_ONE) == ZERO
    assert fma(ABOVE_ONE, ABOVE_ONE, SIGN | SQUARE_ROUNDED) == 0x28800000
