"""Right angles and sums by hand; tests/oracle holds every kernel against these functions."""

from __future__ import annotations

from fractions import Fraction

from samebits.numerics.oracle.binary32 import MINUS_ZERO, ONE, SIGN, ZERO
from samebits.numerics.oracle.rotary import embedding_backward, inverse_frequency, rotate, table_row

TENTH, TWO = 0x3DCCCCCD, 0x40000000


def test_frequencies_are_the_nearest() -> None:
    assert [inverse_frequency(i, 8, Fraction(10000)) for i in (0, 1)] == [ONE, TENTH]


def test_position_zero_does_not_turn() -> None:
    assert table_row(0, [ONE, TENTH]) == ([ONE, ONE], [ZERO, ZERO])


def test_a_right_angle_and_its_way_back() -> None:
    assert rotate([ONE, TWO], [ZERO], [ONE]) == [TWO | SIGN, ONE]
    assert rotate([ONE, TWO], [ZERO], [ONE], backward=True) == [TWO, ONE | SIGN]


def test_rows_are_added_to_what_is_held() -> None:
    assert embedding_backward([[ONE], [ONE]], [1, 1], [[MINUS_ZERO], [ZERO]]) == [[MINUS_ZERO], [TWO]]
