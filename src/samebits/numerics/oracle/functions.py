"""Functions (N-08): fixed polynomials, one fma or one other operation at a time."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache

from samebits.numerics.oracle.binary32 import (
    INFINITY,
    MINUS_INFINITY,
    NAN,
    ONE,
    SIGN,
    fma,
    greater,
    is_nan,
    mul,
    rounded,
    sub,
)


@cache
def bits(text: str) -> int:
    """Return the 32 bits of a float32 written as a hex float."""
    (word,) = struct.unpack("<I", struct.pack("<f", float.fromhex(text)))
    return int(word)


def number(integer: int) -> int:
    """Return the bits of a small integer as a float32."""
    return rounded(int(integer < 0), abs(integer), 0)


SHIFT = bits("0x1.8p+23")
LOG2_E, LN2_HIGH, LN2_LOW = bits("0x1.715476p+0"), bits("0x1.62e430p-1"), bits("-0x1.05c610p-29")
EXP_LOWEST, EXP_HIGHEST = bits("-0x1.ap+6"), bits("0x1.64p+6")
EXP = (
    *("0x1p+0", "0x1p+0", "0x1.fffffcp-2", "0x1.555492p-3", "0x1.5558f2p-5", "0x1.123a20p-7"),
    "0x1.6a23c8p-10",
)
LOG = (
    *("-0x1p-1", "0x1.555554p-2", "-0x1.000226p-2", "0x1.99a008p-3", "-0x1.547246p-3", "0x1.22da1ep-3"),
    *("-0x1.0d853ep-3", "0x1.055b6ep-3", "-0x1.38b5a2p-4"),
)


def polynomial(x: int, coefficients: Sequence[str]) -> int:
    """Return c[0] + c[1] x + c[2] x^2 + ... by one fma per coefficient, from the highest power down."""
    total = bits(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = fma(total, x, bits(coefficient))
    return total


def clamped(x: int, low: int, high: int) -> int:
    """Return x, or the bound that it passes."""
    return high if greater(x, high) else low if greater(low, x) else x


def integer(x: int) -> int:
    """Return the integer n of a float32 n + SHIFT."""
    return x - SHIFT


def exp_parts(x: int) -> tuple[int, int]:
    """Return p and the integer n of e^x = p * 2^n."""
    shifted = fma(x, LOG2_E, SHIFT)
    n = sub(shifted, SHIFT)
    r = fma(n, LN2_LOW ^ SIGN, fma(n, LN2_HIGH ^ SIGN, x))
    return polynomial(r, EXP), integer(shifted)


def scaled(p: int, n: int) -> int:
    """Return p * 2^n, rounded once."""
    half = n // 2
    return mul(mul(p, power_of_two(half)), power_of_two(n - half))


def power_of_two(n: int) -> int:
    """Return 2^n, -126 <= n <= 127."""
    return n + 127 << 23


def exp(x: int) -> int:
    """Return e^x (N-08)."""
    if is_nan(x):
        return NAN
    return scaled(*exp_parts(clamped(x, EXP_LOWEST, EXP_HIGHEST)))


def log(x: int) -> int:
    """Return the natural logarithm of x (N-08)."""
    if x & ~SIGN == 0:
        return MINUS_INFINITY
    if is_nan(x) or x >> 31 or x == INFINITY:
        return INFINITY if x == INFINITY else NAN
    added = 0
    if greater(bits("0x1p-126"), x):
        x, added = mul(x, bits("0x1p+24")), -24
    exponent = (x - bits("0x1.6a09e6p-1")) >> 23
    f = sub(x - (exponent << 23), ONE)
    of_fraction = fma(mul(f, f), polynomial(f, LOG), f)
    return fma(number(exponent + added), LN2_HIGH, of_fraction)
