"""The oracle's single operations against this machine's own IEEE arithmetic, and its fma against exact fractions."""

from __future__ import annotations

import operator
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samebits.numerics import oracle

FINITE = st.integers(0, 2**32 - 1).filter(lambda bits: bits & oracle.INFINITY != oracle.INFINITY)


def value(bits: int) -> np.float32:
    return np.uint32(bits).view(np.float32)


def bits_of(number: np.float32) -> int:
    return oracle.NAN if np.isnan(number) else int(number.view(np.uint32))


@settings(max_examples=500)
@given(x=FINITE, y=FINITE)
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (oracle.add, operator.add),
        (oracle.sub, operator.sub),
        (oracle.mul, operator.mul),
        (oracle.div, operator.truediv),
    ],
)
def test_operations_are_those_of_the_host(
    ours: Callable[[int, int], int], theirs: Callable[[np.float32, np.float32], np.float32], x: int, y: int
) -> None:
    with np.errstate(all="ignore"):
        assert ours(x, y) == bits_of(theirs(value(x), value(y)))


@given(x=FINITE)
def test_square_roots_are_those_of_the_host(x: int) -> None:
    with np.errstate(all="ignore"):
        assert oracle.sqrt(x) == bits_of(np.sqrt(value(x)))


@settings(max_examples=500)
@given(x=FINITE, y=FINITE, z=FINITE)
def test_an_fma_is_a_nearest_float32_to_the_exact_result(x: int, y: int, z: int) -> None:
    got = oracle.fma(x, y, z)
    exact = Fraction(float(value(x))) * Fraction(float(value(y))) + Fraction(float(value(z)))
    if got & ~oracle.SIGN == oracle.INFINITY:
        # Half a unit above the greatest float32 is where rounding reaches infinity.
        assert abs(exact) >= Fraction(2) ** 128 - Fraction(2) ** 103
        return
    error = abs(Fraction(float(value(got))) - exact)
    for neighbour in (got + 1, got - 1):
        if got & ~oracle.SIGN and neighbour & oracle.INFINITY != oracle.INFINITY:
            other = abs(Fraction(float(value(neighbour))) - exact)
            assert error < other or (error == other and got % 2 == 0)


def test_a_missing_lane_adds_nothing() -> None:
    assert oracle.sum_of([oracle.MINUS_ZERO] * 3) == oracle.MINUS_ZERO
    assert oracle.amax([oracle.ONE, oracle.SIGN | oracle.ONE]) == oracle.ONE
    assert oracle.dot([oracle.ONE] * 70, [oracle.ONE] * 70) == bits_of(np.float32(70))
