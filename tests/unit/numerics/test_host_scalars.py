"""Rounding against Python's own, enclosures against what they must hold, and ties that end the loop."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samebits.errors import NumericsError
from samebits.numerics import host_scalars
from samebits.numerics.host_scalars import (
    cosine_of_pi_times,
    decimal_of,
    integer_power,
    nearest_f32,
    nearest_f64,
    rational_power,
    settled,
    square_root,
)

UNIT = st.fractions(0, 1, max_denominator=10**6)


@given(st.fractions(max_denominator=10**20), st.integers(-1100, 1100))
def test_the_nearest_binary64_is_pythons(x: Fraction, exponent: int) -> None:
    scaled = x * Fraction(2) ** exponent
    try:
        expected = float(scaled)
    except OverflowError:
        expected = math.inf if x > 0 else -math.inf
    assert nearest_f64(scaled) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_nearest_binary32_is_one_rounding(x: float) -> None:
    with np.errstate(over="ignore"):
        assert nearest_f32(Fraction(x)) == float(np.float32(x))


@given(st.integers(0x00000000, 0x7F7FFFFE))
def test_ties_go_to_the_even_float32(pattern: int) -> None:
    low, high = (float(np.uint32(bits).view(np.float32)) for bits in (pattern, pattern + 1))
    middle = (Fraction(low) + Fraction(high)) / 2
    assert nearest_f32(middle) == (high if pattern % 2 else low)
    assert nearest_f32(middle + Fraction(1, 10**80)) == high
    assert nearest_f32(-middle + Fraction(1, 10**80)) == -low


def test_the_ends_of_float32() -> None:
    assert nearest_f32(Fraction(2) ** 128 - Fraction(2) ** 103) == math.inf
    assert nearest_f32(Fraction(2) ** 128 - Fraction(2) ** 103 - 1) == float(np.finfo(np.float32).max)
    assert nearest_f32(-(Fraction(2) ** 200)) == -math.inf
    assert nearest_f32(Fraction(1, 2**150)) == 0.0


def test_a_setting_is_its_decimal() -> None:
    assert decimal_of(0.1) == Fraction(1, 10)
    assert decimal_of(1e-08) == Fraction(1, 10**8)
    assert decimal_of(3) == 3
    with pytest.raises(NumericsError, match="a setting must be finite, got inf"):
        decimal_of(math.inf)


@given(UNIT, st.integers(0, 200))
def test_powers_are_enclosed(base: Fraction, exponent: int) -> None:
    assert integer_power(base, exponent, 64) == (base**exponent, base**exponent)


@given(UNIT, st.integers(1, 3000))
def test_long_powers_are_enclosed_tightly(base: Fraction, exponent: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host_scalars, "EXACT_BITS", 0)
        low, high = integer_power(base, exponent, 64)
    assert low <= base**exponent <= high
    assert high - low <= Fraction(1, 2**60)


@given(st.fractions(0, 10**6, max_denominator=10**6))
def test_roots_are_enclosed_tightly(x: Fraction) -> None:
    low, high = square_root((x, x), 64)
    assert low * low <= x <= high * high
    assert high - low <= Fraction(1, 2**120)


def test_exact_roots_are_exact() -> None:
    assert square_root((Fraction(9, 4), Fraction(9, 4)), 64) == (Fraction(3, 2), Fraction(3, 2))


@given(UNIT, st.sampled_from(("0.5", "1.5", "0.3", "2", "0.01")))
def test_rational_powers_are_enclosed(base: Fraction, text: str) -> None:
    exponent = Fraction(text)
    low, high = rational_power(base, exponent, 128)
    root = exponent.denominator
    assert max(low, 0) ** root <= base**exponent.numerator <= high**root
    assert high - low <= Fraction(1, 2**100)


def test_rational_powers_of_perfect_powers_are_exact() -> None:
    assert rational_power(Fraction(8, 27), Fraction(2, 3), 128) == (Fraction(4, 9), Fraction(4, 9))
    assert rational_power(Fraction(1, 1024), Fraction(3, 10), 128) == (Fraction(1, 8), Fraction(1, 8))
    assert rational_power(Fraction(0), Fraction(3, 10), 128) == (0, 0)


@given(st.fractions(-4, 4, max_denominator=10**4))
def test_cosines_are_enclosed_tightly(x: Fraction) -> None:
    low, high = cosine_of_pi_times(x, 200)
    assert 0 <= high - low <= Fraction(1, 2**198)
    # Twice the angle, by an identity that the code does not use.
    low2, high2 = cosine_of_pi_times(2 * x, 200)
    assert low2 - Fraction(1, 2**190) <= 2 * low * high - 1 <= high2 + Fraction(1, 2**190)
    assert abs(float(low) - math.cos(math.pi * float(x))) < 1e-12


@pytest.mark.parametrize(
    ("x", "cosine"),
    [("0", 1), ("1/3", "1/2"), ("1/2", 0), ("2/3", "-1/2"), ("1", -1), ("3/2", 0), ("5/3", "1/2"), ("-2", 1)],
)
def test_rational_cosines_are_exact(x: str, cosine: str) -> None:
    assert cosine_of_pi_times(Fraction(x), 64) == (Fraction(cosine), Fraction(cosine))


def test_an_enclosure_is_tightened_until_it_rounds_one_way() -> None:
    asked = []

    def enclose(bits: int) -> tuple[Fraction, Fraction]:
        asked.append(bits)
        # Just above a midpoint: 128 bits cannot tell.
        middle = 1 + Fraction(1, 2**24) + Fraction(1, 2**200)
        return middle - Fraction(1, 2**bits), middle + Fraction(1, 2**bits)

    assert settled(enclose, nearest_f32) == 1 + 2.0**-23
    assert asked == [128, 256]
