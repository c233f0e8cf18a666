"""The oracle's tree and update by hand; tests/oracle holds every kernel against these functions."""

from __future__ import annotations

from fractions import Fraction

from samebits.numerics.oracle.binary32 import MINUS_ZERO, ONE, ZERO
from samebits.numerics.oracle.optimizer import Settings, adamw, clip, mean, norm, scalars, tree

TWO, THREE, HALF = 0x40000000, 0x40400000, 0x3F000000
BIG = 0x4B800000


def test_three_leaves_are_two_and_one() -> None:
    assert tree([BIG, ONE, ONE]) == BIG
    assert tree([ONE, ONE, BIG]) == BIG + 1
    assert tree([MINUS_ZERO] * 3) == MINUS_ZERO


def test_mean_norm_and_clip() -> None:
    assert mean(THREE, 3) == ONE
    assert norm([[ONE] * 4, []]) == TWO
    assert clip(ZERO, Fraction(1)) == ONE
    assert clip(BIG, Fraction(2**23)) == HALF
    assert clip(BIG, Fraction(0)) == ONE


def test_one_update() -> None:
    settings = Settings(Fraction(1, 2), Fraction(3, 4), Fraction(0), Fraction(1))
    of_step = scalars(settings, Fraction(1, 2), 0, ONE)
    # q = 1 / sqrt(1/4) = 2, keep = 1 - 1/2, size = (1/2) / (1/2).
    assert of_step == [ONE, HALF, HALF, 0x3F400000, 0x3E800000, TWO, ZERO, HALF, ONE]
    # m = 1/2, v = 1/4, d = 1: p = 2/2 - 1/2.
    assert adamw(TWO, ONE, ZERO, ZERO, of_step) == (HALF, HALF, 0x3E800000)
