"""Sine and cosine (N-08): reduction to a quadrant, then one of two polynomials."""

from __future__ import annotations

from samebits.numerics.oracle.binary32 import INFINITY, NAN, SIGN, fma, greater, mul, parts, rounded, sub
from samebits.numerics.oracle.functions import SHIFT, bits, integer, polynomial

TWO_OVER_PI = bits("0x1.45f306p-1")
HALF_PI = tuple(map(bits, ("0x1.921fb6p+0", "-0x1.777a5cp-25", "-0x1.ee59dap-50")))
SIN = ("-0x1.555546p-3", "0x1.110736p-7", "-0x1.994222p-13")
COS = ("0x1p+0", "-0x1p-1", "0x1.55554ap-5", "-0x1.6c0c2ep-10", "0x1.99ea04p-16")
FEW_QUADRANTS = bits("0x1p+20")
# The floors of 2 / pi and of pi / 2, times 2^256 and 2^63.
TWO_OVER_PI_256 = 0xA2F9836E4E441529FC2757D1F534DDC0DB6295993C439041FE5163ABDEBBC561
HALF_PI_63 = 0xC90FDAA22168C234


def quadrant(a: int) -> tuple[int, int]:
    """Return r and n of a = r + n * pi / 2, a >= 0."""
    if greater(a, FEW_QUADRANTS):
        return _quadrant_of_large(a)
    shifted = fma(a, TWO_OVER_PI, SHIFT)
    n, r = sub(shifted, SHIFT), a
    for part in HALF_PI:
        r = fma(n, part ^ SIGN, r)
    return r, integer(shifted) % 4


def _quadrant_of_large(a: int) -> tuple[int, int]:
    _, mantissa, exponent = parts(a)
    window = (TWO_OVER_PI_256 >> (256 - (exponent + 94))) % 2**96
    product = (mantissa * window >> 32) % 2**64
    n = (product + 2**61) >> 62
    rest = product - (n << 62)
    return rounded(int(rest < 0), abs(rest) * HALF_PI_63 >> 64, -61), n % 4


def _sin_cos(a: int) -> tuple[int, int, int]:
    r, n = quadrant(a)
    square = mul(r, r)
    return fma(mul(r, square), polynomial(square, SIN), r), polynomial(square, COS), n


def sin(x: int) -> int:
    """Return the sine of x radians (N-08)."""
    if x & ~SIGN >= INFINITY:
        return NAN
    of_sin, of_cos, n = _sin_cos(x & ~SIGN)
    sign = x & SIGN ^ (SIGN if n & 2 else 0)
    return (of_cos if n & 1 else of_sin) ^ sign


def cos(x: int) -> int:
    """Return the cosine of x radians (N-08)."""
    if x & ~SIGN >= INFINITY:
        return NAN
    of_sin, of_cos, n = _sin_cos(x & ~SIGN)
    return (of_sin if n & 1 else of_cos) ^ (SIGN if (n + 1) & 2 else 0)
