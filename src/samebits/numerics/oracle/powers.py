"""Powers, roots and norms (N-15); pow by way of 53-bit numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from samebits.numerics.oracle.binary32 import (
    INFINITY,
    MINUS_INFINITY,
    MINUS_ZERO,
    NAN,
    ONE,
    SIGN,
    ZERO,
    div,
    is_nan,
    mul,
    parts,
    rounded,
    sqrt,
)
from samebits.numerics.oracle.functions import number
from samebits.numerics.oracle.reductions import dot

PRECISION = 53
POW_LOG2 = (
    *("0x1.71547652b8251p+1", "0x1.ec709dc53c2f7p-1", "0x1.2776c29383376p-1", "0x1.a61a2e8fba350p-2"),
    *("0x1.47956011798fap-2", "0x1.21b056328980ap-2"),
)
POW_EXP2 = (
    *("0x1p+0", "0x1.62e42fef7a795p-1", "0x1.ebfbdff7c5aebp-3", "0x1.c6b08defc1442p-5"),
    *("0x1.3b2ab7f3aa9cfp-7", "0x1.5d872976d7abep-10", "0x1.4306c1237fb5cp-13", "0x1.00ee068235cbep-16"),
    *("0x1.66347a706919dp-20",),
)


@dataclass(frozen=True)
class Wide:
    """A number of 53 bits, mantissa * 2^exponent: what N-15 reaches of binary64 has no bounds and no zeros' signs."""

    mantissa: int
    exponent: int

    @staticmethod
    def near(value: Fraction) -> Wide:
        """Return the nearest one, of two the even one."""
        if not value:
            return Wide(0, 0)
        exponent = abs(value.numerator).bit_length() - value.denominator.bit_length() - PRECISION - 1
        while abs(value) >= Fraction(2) ** (exponent + PRECISION):
            exponent += 1
        # `round` of a Fraction is to nearest, ties to even.
        return Wide(round(value / Fraction(2) ** exponent), exponent)

    def value(self) -> Fraction:
        """Return the number exactly."""
        return self.mantissa * Fraction(2) ** self.exponent

    def __add__(self, other: Wide) -> Wide:
        return Wide.near(self.value() + other.value())

    def __sub__(self, other: Wide) -> Wide:
        return Wide.near(self.value() - other.value())

    def __mul__(self, other: Wide) -> Wide:
        return Wide.near(self.value() * other.value())

    def __truediv__(self, other: Wide) -> Wide:
        return Wide.near(self.value() / other.value())


def wide(text: str) -> Wide:
    """Return a hex float."""
    return Wide.near(Fraction(float.fromhex(text)))


def _polynomial(x: Wide, coefficients: Sequence[str]) -> Wide:
    total = wide(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * x + wide(coefficient)
    return total


def _log2(mantissa: int, exponent: int) -> Wide:
    """Return log2(mantissa * 2^exponent), mantissa > 0."""
    m, one = Fraction(mantissa, 1 << mantissa.bit_length()), Wide(1, 0)
    exponent += mantissa.bit_length()
    # sqrt(1/2) <= m < sqrt(2), by the binary64 next to sqrt(1/2).
    if m < Fraction(0x16A09E667F3BCD, 1 << 53):
        m, exponent = 2 * m, exponent - 1
    s = (Wide.near(m) - one) / (Wide.near(m) + one)
    return Wide(exponent, 0) + s * _polynomial(s * s, POW_LOG2)


def pow(x: int, y: int) -> int:  # noqa: A001 - aten's name
    """Return x to the power of y."""
    if is_nan(x) or is_nan(y):
        return NAN
    if y == number(2):
        return mul(x, x)
    is_whole, is_odd = _kind(y)
    if x >> 31 and x not in (MINUS_ZERO, MINUS_INFINITY) and not is_whole:
        return NAN
    return _magnitude(x & ~SIGN, y) | (x & SIGN if is_odd else 0)


def _kind(y: int) -> tuple[bool, bool]:
    """Tell whether y is an integer (infinity counts as an even one) and whether it is odd."""
    if y & ~SIGN == INFINITY:
        return True, False
    _, mantissa, exponent = parts(y)
    value = mantissa * Fraction(2) ** exponent
    return value.denominator == 1, value.denominator == 1 and value.numerator % 2 == 1


def _magnitude(x: int, y: int) -> int:
    """Return |x| to the power of y."""
    if x == ONE or y & ~SIGN == 0:
        return ONE
    grows = (x > ONE) != bool(y >> 31)
    if x in (ZERO, INFINITY) or y & ~SIGN == INFINITY:
        return INFINITY if grows else ZERO
    sign, mantissa, exponent = parts(y)
    _, x_mantissa, x_exponent = parts(x)
    w = Wide.near((-1) ** sign * mantissa * Fraction(2) ** exponent) * _log2(x_mantissa, x_exponent)
    if abs(w.value()) > 200:
        return INFINITY if w.mantissa > 0 else ZERO
    n = round(w.value())
    p = _polynomial(w - Wide(n, 0), POW_EXP2)
    return rounded(0, p.mantissa, p.exponent + n)


def rsqrt(x: int) -> int:
    """Return 1 / sqrt(x), rounded twice."""
    return div(ONE, sqrt(x))


def reciprocal(x: int) -> int:
    """Return 1 / x."""
    return div(ONE, x)


def vector_norm(x: Sequence[int]) -> int:
    """Return the root of the sum of squares (lanes of N-07)."""
    return sqrt(dot(x, x))
