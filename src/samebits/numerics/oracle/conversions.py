"""Conversions (N-14) on patterns: 16 bits are an int below 2**16, a float32 its 32 bits."""

from __future__ import annotations

from samebits.numerics.oracle.binary32 import INFINITY, SIGN, is_nan, parts, rounded

F16_LEAST_EXPONENT = -24
F16_PRECISION = 11
F16_INFINITY = 0x7C00
QUIET_BF16, QUIET_F16, QUIET_F32 = 0x40, 0x200, 0x400000


def f32_to_bf16(x: int) -> int:
    """Return x rounded to 8 significant bits, ties to even (N-14)."""
    if is_nan(x):
        return x >> 16 | QUIET_BF16
    upper, remainder = divmod(x, 1 << 16)
    return upper + (remainder > 1 << 15 or (remainder == 1 << 15 and upper % 2 == 1))


def bf16_to_f32(x: int) -> int:
    """Return the float32 with the value of a bfloat16 (N-14)."""
    return x << 16


def f16_to_f32(x: int) -> int:
    """Return the float32 with the value of a binary16 (N-14)."""
    sign, biased, fraction = x >> 15, x >> 10 & 0x1F, x & 0x3FF
    if biased == 0x1F:
        return SIGN * sign | INFINITY | fraction << 13 | (QUIET_F32 if fraction else 0)
    mantissa, exponent = (fraction | 1 << 10, biased - 25) if biased else (fraction, F16_LEAST_EXPONENT)
    return rounded(sign, mantissa, exponent)


def f32_to_f16(x: int) -> int:
    """Return x rounded to binary16, ties to even, subnormals kept (N-14)."""
    sign = x >> 31
    if is_nan(x):
        return sign << 15 | F16_INFINITY | QUIET_F16 | x >> 13 & 0x3FF
    if x & ~SIGN == INFINITY:
        return sign << 15 | F16_INFINITY
    _, mantissa, exponent = parts(x)
    last = max(exponent + mantissa.bit_length() - F16_PRECISION, F16_LEAST_EXPONENT)
    if last > exponent:
        dropped = last - exponent
        remainder, half = mantissa & ((1 << dropped) - 1), 1 << (dropped - 1)
        mantissa >>= dropped
        mantissa += remainder > half or (remainder == half and mantissa & 1)
    else:
        mantissa <<= exponent - last
    if mantissa == 1 << F16_PRECISION:
        mantissa, last = mantissa >> 1, last + 1
    if mantissa >= 1 << F16_PRECISION - 1:
        mantissa += (last - F16_LEAST_EXPONENT) << F16_PRECISION - 1
    return sign << 15 | min(mantissa, F16_INFINITY)
