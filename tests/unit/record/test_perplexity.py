"""Correctly rounded exponentials, against integers alone."""

import math
import random
import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samebits.errors import NonFiniteError
from samebits.record import perplexity
from samebits.record.perplexity import correctly_rounded_exp, perplexity_of

LARGEST = Fraction(2**53 - 1) * 2**971
# Halfway from the largest binary64 number to the one that would follow: from there on the nearest is infinity.
OVERFLOW = Fraction(2**54 - 1) * 2**970


def _exp_bounds(x: Fraction, n_bits: int) -> tuple[Fraction, Fraction]:
    """Return a lower and an upper bound of e**x, by Taylor's series of e**(x / 2**k) in whole numbers.

    The argument is cut to 2**-n_bits, below 1/2 in magnitude; each term is cut downward, which loses less than one unit
    a term; the rest of the series is less than twice its first term. Squaring k times carries the bounds along.
    """
    halvings = max(0, math.ceil(abs(x)).bit_length() + 1)
    one = 1 << n_bits
    low_x = math.floor(x * one / 2**halvings)
    bounds = []
    for numerator, is_upper in ((low_x, False), (low_x + 1, True)):
        total, term, n = one, Fraction(one), 0
        error = 0
        while abs(term) >= 1:
            n += 1
            term = Fraction(math.floor(term * numerator / (one * n)))
            total += int(term)
            error += 2
            if n > n_bits:
                raise AssertionError("the series does not end")
        slack = error + 4
        bounds.append(Fraction(total + slack if is_upper else total - slack, one))
    low, high = bounds
    for _ in range(halvings):
        low = Fraction(math.floor(low * low * one), one)
        high = Fraction(math.ceil(high * high * one), one)
    return low, high


def _nearest(value: Fraction) -> float:
    """Return the nearest binary64 number, ties to even, subnormals and infinity included; no float is added."""
    if value >= OVERFLOW:
        return math.inf
    exponent = value.numerator.bit_length() - value.denominator.bit_length() - 1
    while value >= Fraction(2) ** (exponent + 1):
        exponent += 1
    unit = max(exponent - 52, -1074)
    scaled = value / Fraction(2) ** unit
    whole, rest = divmod(scaled.numerator, scaled.denominator)
    twice = Fraction(2 * rest, scaled.denominator)
    whole += twice > 1 or (twice == 1 and whole % 2 == 1)
    return math.ldexp(whole, unit)


def _exp(x: float) -> float:
    n_bits = 256
    while True:
        low, high = _exp_bounds(Fraction(x), n_bits + 4 * int(abs(x)) * (x < 0))
        if _nearest(low) == _nearest(high):
            return _nearest(low)
        n_bits *= 2


def _neighbours(x: float, n: int) -> list[float]:
    found = [x]
    for direction in (-math.inf, math.inf):
        near = x
        for _ in range(n):
            near = math.nextafter(near, direction)
            found.append(near)
    return found


@pytest.mark.parametrize(
    ("x", "hexadecimal"),
    [
        (0.0, "0x1.0000000000000p+0"),
        (-0.0, "0x1.0000000000000p+0"),
        # e, 1/e and the square root of e, from their decimal expansions.
        (1.0, "0x1.5bf0a8b145769p+1"),
        (-1.0, "0x1.78b56362cef38p-2"),
        (0.5, "0x1.a61298e1e069cp+0"),
    ],
)
def test_known_values(x: float, hexadecimal: str) -> None:
    assert correctly_rounded_exp(x).hex() == hexadecimal


def test_the_independent_computation_knows_e() -> None:
    low, high = _exp_bounds(Fraction(1), 256)
    digits = Fraction("2.71828182845904523536028747135266249775724709369995957496696762772407663035354759457138")
    assert low < digits < high
    assert high - low < Fraction(1, 2**200)


def test_random_losses_agree_with_the_independent_computation() -> None:
    generator = random.Random(7)
    numbers = [generator.uniform(0, 20) for _ in range(200)] + [generator.uniform(-745.2, 709.8) for _ in range(60)]
    numbers += [generator.uniform(-1, 1) * 2.0 ** generator.randint(-60, 0) for _ in range(60)]
    for x in numbers:
        assert correctly_rounded_exp(x).hex() == _exp(x).hex(), x.hex()


# Behind the last place of these exponentials come a one or a zero and then 57 bits or more that are all alike.
HARD = ["0x1.9e9cbbfd6080bp-31", "-0x1.ed318efb627eap-27", "0x1.83d4bcdebb3f4p+2"]


@pytest.mark.parametrize("x", [*map(float.fromhex, HARD)])
def test_the_hard_inputs_are_hard(x: float) -> None:
    low, _ = _exp_bounds(Fraction(x), 512)
    half_units = 2 * low / Fraction(math.ulp(_nearest(low)))
    assert abs(half_units - round(half_units)) < Fraction(1, 2**57)


@pytest.mark.parametrize(
    "x",
    [
        *map(float.fromhex, HARD),
        # Just beside a tie at 1: e**x is 1 + x + x*x/2, where 1 + x is halfway between two numbers.
        2.0**-53, -(2.0**-54), 3 * 2.0**-53, -3 * 2.0**-54, 2.0**-52, 2.0**-30, -(2.0**-30),
        5e-324, -5e-324, 2.0**-1022,
    ],
)  # fmt: skip
def test_hard_inputs_agree_with_the_independent_computation(x: float) -> None:
    for near in _neighbours(x, 2):
        assert correctly_rounded_exp(near).hex() == _exp(near).hex(), near.hex()


def test_ties_are_broken_by_what_comes_behind() -> None:
    assert correctly_rounded_exp(2.0**-53) == 1 + 2.0**-52
    assert correctly_rounded_exp(-(2.0**-54)) == 1.0
    assert correctly_rounded_exp(math.nextafter(2.0**-53, 0)) == 1.0


def test_overflow_begins_where_it_must() -> None:
    last = float.fromhex("0x1.62e42fefa39efp+9")
    for x in _neighbours(last, 3):
        assert correctly_rounded_exp(x) == _exp(x)
    assert correctly_rounded_exp(last) < math.inf
    assert correctly_rounded_exp(math.nextafter(last, math.inf)) == math.inf
    assert correctly_rounded_exp(710.0) == correctly_rounded_exp(1e308) == math.inf


def test_subnormal_results_and_underflow() -> None:
    last = float.fromhex("-0x1.74910d52d3051p+9")
    for x in [*_neighbours(last, 3), -708.5, -720.25, -740.125, -744.5]:
        assert correctly_rounded_exp(x).hex() == _exp(x).hex(), x.hex()
    assert correctly_rounded_exp(last) == 5e-324
    assert correctly_rounded_exp(math.nextafter(last, -math.inf)) == 0.0
    assert correctly_rounded_exp(-746.0) == correctly_rounded_exp(-1e308) == 0.0


@given(bits=st.integers(0, 2**64 - 1))
def test_any_number_has_an_exponential_near_that_of_the_c_library(bits: int) -> None:
    (x,) = struct.unpack("<d", struct.pack("<Q", bits))
    if not math.isfinite(x):
        with pytest.raises(NonFiniteError):
            correctly_rounded_exp(x)
        return
    try:
        theirs = math.exp(x)
    except OverflowError:
        theirs = math.inf
    # The C library's is at most one number away; the claim about the bits is tested above.
    assert correctly_rounded_exp(x) in (theirs, math.nextafter(theirs, 0), math.nextafter(theirs, math.inf))


def test_few_digits_are_noticed_and_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first digits cannot decide, more are taken: the answer does not depend on where it began."""
    numbers = [1.5, 2.0**-53, *map(float.fromhex, HARD)]
    expected = [correctly_rounded_exp(x) for x in numbers]
    monkeypatch.setattr(perplexity, "FIRST_DIGITS", 5)
    assert [correctly_rounded_exp(x) for x in numbers] == expected


def test_a_perplexity_beyond_binary64_is_none() -> None:
    assert perplexity_of(0.0) == 1.0
    assert perplexity_of(709.0) == correctly_rounded_exp(709.0)
    assert perplexity_of(710.0) is None
    with pytest.raises(NonFiniteError, match="finite"):
        perplexity_of(math.nan)
