"""The oracle's own cosine and rates by hand; tests/spec/test_n13.py holds the schedules against it."""

from __future__ import annotations

from fractions import Fraction

import pytest

from samebits.numerics.oracle.schedules import cosine, cut, learning_rate


def test_cosines_that_are_known() -> None:
    for x, expected in (("0", "1"), ("1/3", "0.5"), ("1/2", "0"), ("1", "-1"), ("5/3", "0.5"), ("7/2", "0")):
        assert abs(cosine(Fraction(x)) - Fraction(expected)) < Fraction(1, 10**93)
    # cos(pi/4)^2 = 1/2.
    assert abs(cosine(Fraction(1, 4)) ** 2 - Fraction(1, 2)) < Fraction(1, 10**93)


def test_cutting_rounds_down() -> None:
    assert cut(Fraction(2, 3)) < Fraction(2, 3) < cut(Fraction(2, 3)) + Fraction(1, 10**114)


@pytest.mark.parametrize(
    ("kind", "rate"), [("constant", 1.0), ("linear", 0.75), ("polynomial", 0.75), ("cosine_with_restarts", 0.5)]
)
def test_a_quarter_of_the_way(kind: str, rate: float) -> None:
    assert learning_rate(kind, 1, peak=Fraction(1), n_steps=4, cycles=Fraction(2)) == rate
