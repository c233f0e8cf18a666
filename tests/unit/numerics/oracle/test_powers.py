"""Numbers of 53 bits against Python's own floats, and powers known by hand."""

from __future__ import annotations

from fractions import Fraction

from samebits.numerics.oracle import powers
from samebits.numerics.oracle.binary32 import INFINITY, MINUS_ZERO, NAN, ONE, SIGN, ZERO
from samebits.numerics.oracle.functions import number
from samebits.numerics.oracle.powers import Wide, reciprocal, rsqrt, vector_norm, wide


def test_wide_numbers_round_as_binary64_does() -> None:
    values = [float.fromhex(text) for text in ("0x1.999999999999ap-4", "-0x1.5555555555555p+1", "0x1.0000000000001p+9")]
    for x in values:
        for y in values:
            left, right = Wide.near(Fraction(x)), Wide.near(Fraction(y))
            assert float((left + right).value()) == x + y
            assert float((left - right).value()) == x - y
            assert float((left * right).value()) == x * y
            assert float((left / right).value()) == x / y
    assert wide("0x1.8p+1").value() == 3


def test_powers() -> None:
    assert powers.pow(number(3), number(4)) == number(81)
    assert powers.pow(number(-2), number(3)) == number(-8)
    assert powers.pow(number(-2), 0x3F000000) == NAN
    assert powers.pow(MINUS_ZERO, number(-3)) == SIGN | INFINITY
    assert powers.pow(INFINITY, ZERO) == powers.pow(ONE, INFINITY) == powers.pow(SIGN | ONE, INFINITY) == ONE


def test_roots_and_norms() -> None:
    assert [rsqrt(number(4)), reciprocal(number(4))] == [0x3F000000, 0x3E800000]
    assert vector_norm([number(3), number(4)]) == number(5)
