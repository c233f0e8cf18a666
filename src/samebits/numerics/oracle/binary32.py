"""IEEE 754 binary32 in plain Python integers: one operation, one rounding.

A float32 is its 32 bits as an int. A finite one is (-1)**sign * mantissa * 2**exponent with integers, so that every
operation is done without error and then rounded by `rounded`. All NaNs are one here (N-03).
"""

from __future__ import annotations

import math

SIGN = 0x80000000
INFINITY = 0x7F800000
NAN = 0x7FC00000
ONE = 0x3F800000
ZERO, MINUS_ZERO, MINUS_INFINITY = 0, SIGN, SIGN | INFINITY
LEAST_EXPONENT = -149
PRECISION = 24
# A normal number is its mantissa of 24 bits times 2 to the power of its biased exponent less this.
BIAS = 150


def is_nan(x: int) -> bool:
    """Tell whether x is a NaN."""
    return x & ~SIGN > INFINITY


def rounded(sign: int, mantissa: int, exponent: int) -> int:
    """Return (-1)**sign * mantissa * 2**exponent rounded to nearest, ties to even."""
    if mantissa == 0:
        return SIGN * sign
    last = max(exponent + mantissa.bit_length() - PRECISION, LEAST_EXPONENT)
    dropped = last - exponent
    if dropped <= 0:
        mantissa <<= -dropped
    else:
        # One bit short of half a unit: only more than a half carries into the last place; a half, too, if that is odd.
        odd = mantissa >> dropped & 1
        mantissa = mantissa + (1 << dropped - 1) - 1 + odd >> dropped
    # The mantissa's first bit, where it is set, counts the exponent up by one, and so does a carry out of the mantissa.
    return SIGN * sign | min((last - LEAST_EXPONENT << PRECISION - 1) + mantissa, INFINITY)


def parts(x: int) -> tuple[int, int, int]:
    """Return sign, mantissa and exponent of a finite x."""
    sign, biased, fraction = x >> 31, x >> 23 & 0xFF, x & 0x7FFFFF
    if biased == 0:
        return sign, fraction, LEAST_EXPONENT
    return sign, fraction | 1 << 23, biased + LEAST_EXPONENT - 1


def _is_infinite(x: int) -> bool:
    return x & ~SIGN == INFINITY


def fma(a: int, b: int, c: int) -> int:
    """Return a * b + c, rounded once."""
    # `parts` written out three times: every product of a model comes by here.
    a_biased, b_biased, c_biased = a >> 23 & 0xFF, b >> 23 & 0xFF, c >> 23 & 0xFF
    if a_biased == 0xFF or b_biased == 0xFF or c_biased == 0xFF:
        return _fma_of_special(a, b, c)
    # The biased exponent of a subnormal, 0, stands for 1: its mantissa is doubled for it.
    a_mantissa = a & 0x7FFFFF | 0x800000 if a_biased else (a & 0x7FFFFF) << 1
    b_mantissa = b & 0x7FFFFF | 0x800000 if b_biased else (b & 0x7FFFFF) << 1
    term = c & 0x7FFFFF | 0x800000 if c_biased else (c & 0x7FFFFF) << 1
    product = a_mantissa * b_mantissa
    if (a ^ b) & SIGN:
        product = -product
    if c & SIGN:
        term = -term
    product_exponent, exponent = a_biased + b_biased - 2 * BIAS, c_biased - BIAS
    # Both terms in units of the lesser exponent, and then their exact sum.
    if product_exponent > exponent:
        total = (product << product_exponent - exponent) + term
    else:
        total = product + (term << exponent - product_exponent)
        exponent = product_exponent
    if total == 0:
        # An exact zero is +0 unless both terms are negative zeros.
        return (a ^ b) & c & SIGN
    return rounded(1, -total, exponent) if total < 0 else rounded(0, total, exponent)


def _fma_of_special(a: int, b: int, c: int) -> int:
    """Return a * b + c where one of them is infinite or NaN."""
    if is_nan(a) or is_nan(b) or is_nan(c):
        return NAN
    product_sign = (a ^ b) >> 31
    if _is_infinite(a) or _is_infinite(b):
        if a & ~SIGN == 0 or b & ~SIGN == 0 or (_is_infinite(c) and c >> 31 != product_sign):
            return NAN
        return SIGN * product_sign | INFINITY
    return c


def add(a: int, b: int) -> int:
    """Return a + b."""
    return fma(a, ONE, b)


def sub(a: int, b: int) -> int:
    """Return a - b."""
    return fma(a, ONE, b ^ SIGN)


def mul(a: int, b: int) -> int:
    """Return a * b: nothing is lost by adding a zero of the product's own sign."""
    return fma(a, b, (a ^ b) & SIGN)


def div(a: int, b: int) -> int:
    """Return a / b."""
    sign = (a ^ b) >> 31
    if is_nan(a) or is_nan(b) or (_is_infinite(a) and _is_infinite(b)) or (a & ~SIGN == 0 and b & ~SIGN == 0):
        return NAN
    if _is_infinite(a) or b & ~SIGN == 0:
        return SIGN * sign | INFINITY
    if _is_infinite(b):
        return SIGN * sign
    (_, top, top_exponent), (_, bottom, bottom_exponent) = parts(a), parts(b)
    # 64 more bits than needed, and a last bit that says whether anything is left.
    quotient, rest = divmod(top << 64, bottom)
    return rounded(sign, quotient << 1 | (rest != 0), top_exponent - bottom_exponent - 65)


def sqrt(x: int) -> int:
    """Return the square root of x."""
    if is_nan(x) or (x >> 31 and x != MINUS_ZERO):
        return NAN
    if _is_infinite(x) or x & ~SIGN == 0:
        return x
    _, mantissa, exponent = parts(x)
    mantissa, exponent = (mantissa << 64, exponent - 64) if exponent % 2 == 0 else (mantissa << 65, exponent - 65)
    root = math.isqrt(mantissa)
    return rounded(0, root << 1 | (root * root != mantissa), exponent // 2 - 1)


def greater(a: int, b: int) -> bool:
    """Tell whether a > b; false if one is NaN."""
    if is_nan(a) or is_nan(b):
        return False
    return _order(a) > _order(b)


def _order(x: int) -> int:
    return -(x & ~SIGN) if x >> 31 else x


def maximum(a: int, b: int) -> int:
    """Return a if a > b, else b: of equal zeros the second (N-07)."""
    return a if greater(a, b) else b
