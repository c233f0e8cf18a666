"""Activations and the factors of their gradients (N-08)."""

from __future__ import annotations

from samebits.numerics.oracle.binary32 import (
    MINUS_ZERO,
    NAN,
    ONE,
    SIGN,
    ZERO,
    add,
    div,
    fma,
    greater,
    is_nan,
    mul,
    sub,
)
from samebits.numerics.oracle.functions import (
    EXP,
    LN2_HIGH,
    LN2_LOW,
    LOG2_E,
    SHIFT,
    bits,
    clamped,
    exp_parts,
    integer,
    number,
    polynomial,
    power_of_two,
    scaled,
)

TANH_HIGHEST, ERF_HIGHEST, GELU_HIGHEST = bits("0x1.3p+3"), bits("0x1p+2"), bits("0x1.ep+3")
LOWEST, HIGHEST = bits("-0x1.b8p+6"), bits("0x1p+5")
GELU_TANH_LOWEST, GELU_TANH_HIGHEST = bits("-0x1.5cccccp+3"), bits("0x1.8p+2")
SCALE = bits("0x1p-34")
ERF = (
    *("0x1.06eba8p-3", "0x1.45f2fap-1", "0x1.a4fa5ep-4", "-0x1.39cdc6p-6", "-0x1.505fc0p-13", "0x1.b50034p-10"),
    *("-0x1.4bc9b4p-11", "0x1.ed6bacp-14", "-0x1.3695f6p-17"),
)
GELU_K, GELU_K_LOW = bits("0x1.26aec0p+1"), bits("0x1.0de73ap-22")
GELU_L, GELU_L_LOW = bits("0x1.a5a7d0p-4"), bits("-0x1.151aaep-29")
GELU_SLOPE = ("0x1.988454p+0", "0x1.b6676cp-3")
EXP2 = (
    *("0x1p+0", "0x1.62e430p-1", "0x1.ebfbdcp-3", "0x1.c6af7ap-5", "0x1.3b2dfap-7", "0x1.5f0992p-10"),
    "0x1.415f6cp-13",
)
LN2_SHORT, LN2_REST = bits("0x1.62e400p-1"), bits("0x1.7f7d1cp-20")
GELU_P = ("0x1p-1", "0x1.c0d170p-2", "0x1.774598p-3", "0x1.4ce04ap-5", "0x1.0dc700p-8")
GELU_Q = ("0x1p+0", "0x1.acaae8p+0", "0x1.33d812p+0", "0x1.e0bf0ap-2", "0x1.a1398ap-4", "0x1.521ca2p-7")
ONE_OVER_SQRT_2PI = bits("0x1.988454p-2")


def expm1(x: int) -> int:
    """Return e^x - 1, -17 < x < 20, as tanh and erf take it."""
    shifted = fma(x, LOG2_E, SHIFT)
    n = sub(shifted, SHIFT)
    r = fma(n, LN2_LOW ^ SIGN, fma(n, LN2_HIGH ^ SIGN, x))
    q = fma(mul(r, r), polynomial(r, EXP[2:]), r)
    power = power_of_two(integer(shifted))
    return fma(q, power, sub(power, ONE))


def tanh(x: int) -> int:
    """Return the hyperbolic tangent of x."""
    if is_nan(x):
        return NAN
    a = clamped(x & ~SIGN, ZERO, TANH_HIGHEST)
    t = expm1(add(a, a))
    return div(t, add(t, number(2))) ^ x & SIGN


def erf(x: int) -> int:
    """Return the error function of x."""
    if is_nan(x):
        return NAN
    a = clamped(x & ~SIGN, ZERO, ERF_HIGHEST)
    z = fma(a, polynomial(a, ERF), a)
    return expm1(z ^ SIGN) & ~SIGN | x & SIGN


def _decay(y: int) -> tuple[int, int]:
    """Return p and 2^(n - 34) of e^-y = p * 2^n."""
    p, n = exp_parts(y ^ SIGN)
    return p, power_of_two(n - 34)


def sigmoid(x: int) -> int:
    """Return 1 / (1 + e^-x)."""
    if is_nan(x):
        return NAN
    p, power = _decay(clamped(x, LOWEST, HIGHEST))
    return mul(div(ONE, fma(p, power, SCALE)), SCALE)


def silu(x: int) -> int:
    """Return x / (1 + e^-x)."""
    if is_nan(x) or greater(x, HIGHEST):
        return NAN if is_nan(x) else x
    m = clamped(x, LOWEST, HIGHEST)
    p, power = _decay(m)
    return mul(div(m, fma(p, power, SCALE)), SCALE)


def _gelu_tanh_decay(m: int) -> tuple[int, int]:
    square = mul(m, m)
    slope = fma(square, GELU_L, GELU_K)
    low = fma(square, GELU_L, sub(GELU_K, slope))
    low = fma(fma(m, m, square ^ SIGN), GELU_L, low)
    low = add(fma(square, GELU_L_LOW, low), GELU_K_LOW)
    # Not SHIFT itself: a half is rounded to an even n + 93 (N-08).
    shift = add(SHIFT, number(93))
    shifted = fma(m ^ SIGN, slope, shift)
    n = sub(shifted, shift)
    r = fma(m ^ SIGN, low, fma(m ^ SIGN, slope, n ^ SIGN))
    return polynomial(r, EXP2), power_of_two(integer(shifted) - 127)


def gelu_tanh(x: int) -> int:
    """Return x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2."""
    if is_nan(x) or greater(x, GELU_TANH_HIGHEST):
        return NAN if is_nan(x) else x
    m = clamped(x, GELU_TANH_LOWEST, GELU_TANH_HIGHEST)
    p, power = _gelu_tanh_decay(m)
    return mul(div(m, fma(p, power, SCALE)), SCALE)


def _gelu_decay(a: int) -> tuple[int, int]:
    """Return p and the integer n of e^(-a^2 / 2) = p * 2^n."""
    shifted = fma(mul(a, a), mul(LOG2_E, bits("-0x1p-1")), SHIFT)
    n = sub(shifted, SHIFT)
    # -2 r: the half of a small square would round.
    double = fma(n, mul(number(2), LN2_REST), fma(a, a, mul(n, mul(number(2), LN2_SHORT))))
    return _polynomial_of_minus_half(double), integer(shifted)


def _polynomial_of_minus_half(double: int) -> int:
    halves = [mul(bits(c), power_of_two(-i)) ^ (SIGN if i % 2 else 0) for i, c in enumerate(EXP)]
    total = halves[-1]
    for half in halves[-2::-1]:
        total = fma(total, double, half)
    return total


def gelu(x: int) -> int:
    """Return x (1 + erf(x / sqrt(2))) / 2."""
    if is_nan(x):
        return NAN
    a = clamped(x & ~SIGN, ZERO, GELU_HIGHEST)
    p, n = _gelu_decay(a)
    g = div(mul(mul(a, p), polynomial(a, GELU_P)), polynomial(a, GELU_Q))
    return sub(MINUS_ZERO if greater(ZERO, x) else x, scaled(g, n))


def relu(x: int) -> int:
    """Return x where it is greater than 0, else +0."""
    return NAN if is_nan(x) else x if greater(x, ZERO) else ZERO


def tanh_backward(grad: int, y: int) -> int:
    """Return grad (1 - y^2)."""
    return mul(grad, fma(y ^ SIGN, y, ONE))


def sigmoid_backward(grad: int, y: int) -> int:
    """Return grad (1 - y) y."""
    return mul(grad, fma(y ^ SIGN, y, y))


def _logistic_slope(p: int, power: int, m: int, slope_of_y: int) -> int:
    q = div(ONE, fma(p, power, SCALE))
    rest = mul(mul(p, power), q)
    return mul(mul(q, fma(mul(m, rest), slope_of_y, ONE)), SCALE)


def silu_backward(grad: int, x: int) -> int:
    """Return grad times the derivative of silu."""
    m = clamped(x, LOWEST, HIGHEST)
    return mul(grad, _logistic_slope(*_decay(m), m, ONE))


def gelu_tanh_backward(grad: int, x: int) -> int:
    """Return grad times the derivative of gelu's tanh form."""
    m = clamped(x, GELU_TANH_LOWEST, GELU_TANH_HIGHEST)
    return mul(grad, _logistic_slope(*_gelu_tanh_decay(m), m, polynomial(mul(m, m), GELU_SLOPE)))


def gelu_backward(grad: int, x: int) -> int:
    """Return grad times the derivative of gelu."""
    if is_nan(x):
        return NAN
    a = clamped(x & ~SIGN, ZERO, GELU_HIGHEST)
    p, n = _gelu_decay(a)
    ratio = div(polynomial(a, GELU_P), polynomial(a, GELU_Q))
    g = mul(p, fma(a, ONE_OVER_SQRT_2PI ^ SIGN, ratio))
    positive = greater(x, ZERO)
    slope = sub(ONE if positive else ZERO, scaled(g if positive else g ^ SIGN, n))
    return mul(grad, slope)


def threshold_backward(grad: int, x: int, threshold: int) -> int:
    """Return grad where x is greater than the threshold, else +0."""
    return grad if greater(x, threshold) else ZERO
