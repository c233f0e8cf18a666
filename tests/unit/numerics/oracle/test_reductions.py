"""Sums that tell the lanes apart, by hand; tests/oracle holds every kernel against these functions."""

from __future__ import annotations

from samebits.numerics.oracle.binary32 import MINUS_INFINITY, MINUS_ZERO, ONE, SIGN
from samebits.numerics.oracle.reductions import amax, dot, sum_of

SEVENTY = 0x428C0000


def test_a_missing_lane_adds_nothing() -> None:
    assert sum_of([MINUS_ZERO] * 3) == MINUS_ZERO
    assert sum_of([]) == MINUS_ZERO
    assert amax([]) == MINUS_INFINITY
    assert amax([ONE, SIGN | ONE]) == ONE
    assert dot([ONE] * 70, [ONE] * 70) == SEVENTY
