"""Values known by hand, and the pieces that functions are made of."""

from __future__ import annotations

import pytest

from samebits.numerics.oracle.binary32 import INFINITY, MINUS_INFINITY, MINUS_ZERO, NAN, ONE, SIGN, ZERO
from samebits.numerics.oracle.functions import bits, clamped, exp, log, number, polynomial, scaled

E, LN2 = 0x402DF854, 0x3F317218


def test_exponentials_and_logarithms() -> None:
    assert [exp(x) for x in (ZERO, MINUS_ZERO, ONE, MINUS_INFINITY, INFINITY, NAN)] == [
        ONE,
        ONE,
        E,
        ZERO,
        INFINITY,
        NAN,
    ]
    assert [log(x) for x in (ZERO, MINUS_ZERO, ONE, number(2), INFINITY)] == [
        *(MINUS_INFINITY, MINUS_INFINITY, ZERO, LN2, INFINITY)
    ]
    assert log(SIGN | ONE) == log(NAN) == NAN


def test_a_logarithm_of_a_subnormal() -> None:
    """log(2^-149) = -149 ln 2, from mpmath."""
    assert log(1) == bits("-0x1.9d1d9fp+6") or abs(log(1) - bits("-0x1.9d1d9fp+6")) <= 1


def test_a_product_with_a_power_is_rounded_once() -> None:
    """1.5 * 2^-149 is a midpoint, and so is 2.5 * 2^-149: each goes to the even one."""
    assert scaled(bits("0x1.8p+0"), -149) == 2
    assert scaled(bits("0x1.4p+0"), -148) == 2
    assert scaled(bits("0x1.4p+0"), 128) == INFINITY


def test_pieces() -> None:
    assert polynomial(number(2), ("0x1p+0", "0x1p+1", "0x1.8p+1")) == number(17)
    assert clamped(number(5), number(-1), number(3)) == number(3)
    assert clamped(number(-5), number(-1), number(3)) == number(-1)
    with pytest.raises(ValueError, match="hexadecimal"):
        bits("x")
