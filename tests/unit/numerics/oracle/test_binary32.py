"""The oracle's single operations against this machine's own IEEE arithmetic, and its fma against exact fractions."""

from __future__ import annotations

import operator
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samebits.numerics.oracle import binary32

FINITE = st.integers(0, 2**32 - 1).filter(lambda bits: bits & binary32.INFINITY != binary32.INFINITY)


def value(bits: int) -> np.float32:
    return np.uint32(bits).view(np.float32)


def bits_of(number: np.float32) -> int:
    return binary32.NAN if np.isnan(number) else int(number.view(np.uint32))


@settings(max_examples=500)
@given(x=FINITE, y=FINITE)
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (binary32.add, operator.add),
        (binary32.sub, operator.sub),
        (binary32.mul, operator.mul),
        (binary32.div, operator.truediv),
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
        assert binary32.sqrt(x) == bits_of(np.sqrt(value(x)))


@settings(max_examples=500)
@given(x=FINITE, y=FINITE, z=FINITE)
def test_an_fma_is_a_nearest_float32_to_the_exact_result(x: int, y: int, z: int) -> None:
    got = binary32.fma(x, y, z)
    exact = Fraction(float(value(x))) * Fraction(float(value(y))) + Fraction(float(value(z)))
    if got & ~binary32.SIGN == binary32.INFINITY:
        # Half a unit above the greatest float32 is where rounding reaches infinity.
        assert abs(exact) >= Fraction(2) ** 128 - Fraction(2) ** 103
        return
    error = abs(Fraction(float(value(got))) - exact)
    for neighbour in (got + 1, got - 1):
        if got & ~binary32.SIGN and neighbour & binary32.INFINITY != binary32.INFINITY:
            other = abs(Fraction(float(value(neighbour))) - exact)
            assert error < other or (error == other and got % 2 == 0)
