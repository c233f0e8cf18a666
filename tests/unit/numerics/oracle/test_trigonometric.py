"""Values known by hand, and a reduction in which almost everything cancels."""

from __future__ import annotations

from samebits.numerics.oracle.binary32 import INFINITY, MINUS_ZERO, NAN, ONE, SIGN, ZERO
from samebits.numerics.oracle.functions import bits
from samebits.numerics.oracle.trigonometric import cos, quadrant, sin

HALF = 0x3F000000


def test_sines_and_cosines() -> None:
    assert [sin(ZERO), sin(MINUS_ZERO), cos(ZERO), cos(MINUS_ZERO)] == [ZERO, MINUS_ZERO, ONE, ONE]
    assert [sin(HALF), sin(SIGN | HALF), cos(ONE)] == [0x3EF57744, 0xBEF57744, 0x3F0A5140]
    assert sin(INFINITY) == cos(SIGN | INFINITY) == NAN


def test_the_nearest_float_to_a_multiple_of_half_pi() -> None:
    """16367173 * 2^72 is 1.6e-9 from a multiple of pi / 2 (Kahan's search for the worst case of binary32)."""
    r, _ = quadrant(bits("0x1.f37c8ap+95"))
    assert r & ~SIGN < bits("0x1p-28")
