"""Scalars that the host computes: exact rational arithmetic, or an enclosure tightened until its rounding is settled.

`math`, and `**` on floats, are the platform's C library's and differ between platforms in their last bits.

Source of the loop: A. Ziv, "Fast evaluation of elementary mathematical functions with correctly rounded last bit"
(1991).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction

from samebits.errors import NumericsError

# Two rational numbers with the true value between them; equal where it is known.
Enclosure = tuple[Fraction, Fraction]

FIRST_BITS = 128
# Powers this short are computed whole: any tie shows, and the loop below has an end.
EXACT_BITS = 4096


def decimal_of(number: float) -> Fraction:
    """Return the rational number that a float's shortest decimal form writes: what a recipe says.

    Raises:
        NumericsError: it is not finite.
    """
    if not math.isfinite(number):
        raise NumericsError("a setting must be finite", got=repr(number))
    return Fraction(repr(float(number)))


def nearest_f32(x: Fraction) -> float:
    """Return the float32 nearest to x, ties to even; infinity where float32 ends."""
    return _nearest(x, 24, -149, 128)


def nearest_f64(x: Fraction) -> float:
    """Return the float64 nearest to x, ties to even; infinity where float64 ends."""
    return _nearest(x, 53, -1074, 1024)


def _nearest(x: Fraction, precision: int, least_exponent: int, end: int) -> float:
    top, bottom = abs(x.numerator), x.denominator
    # 2^(magnitude - 1) < |x| < 2^(magnitude + 1): look which half x is in.
    magnitude = top.bit_length() - bottom.bit_length()
    if top << max(-magnitude, 0) < bottom << max(magnitude, 0):
        magnitude -= 1
    exponent = max(magnitude - precision + 1, least_exponent)
    bottom <<= max(exponent, 0)
    mantissa, rest = divmod(top << max(-exponent, 0), bottom)
    mantissa += 2 * rest > bottom or (2 * rest == bottom and mantissa & 1)
    size = math.inf if mantissa.bit_length() + exponent > end else math.ldexp(mantissa, exponent)
    return -size if x < 0 else size


def settled(enclose: Callable[[int], Enclosure], nearest: Callable[[Fraction], float]) -> float:
    """Return what both ends of an enclosure round to, tightened until there is one answer.

    Args:
        enclose: gives an enclosure for a number of bits; the more, the tighter.
    """
    bits = FIRST_BITS
    while True:
        low, high = map(nearest, enclose(bits))
        if low == high:
            return low
        bits *= 2


def integer_power(base: Fraction, exponent: int, bits: int) -> Enclosure:
    """Enclose base ** exponent, 0 <= base <= 1, to about 2**-bits."""
    if exponent * base.denominator.bit_length() <= max(bits, EXACT_BITS):
        exact = base**exponent
        return exact, exact
    # Fixed point, by squaring; the low end is rounded down, the high end up.
    one = 1 << (bits + exponent.bit_length() + 2)
    low, high = one, one
    base_low, base_high = math.floor(base * one), math.ceil(base * one)
    for digit in f"{exponent:b}":
        low, high = low * low // one, -(-high * high // one)
        if digit == "1":
            low, high = low * base_low // one, -(-high * base_high // one)
    return Fraction(low, one), Fraction(high, one)


def square_root(x: Enclosure, bits: int) -> Enclosure:
    """Enclose the square root, to about 2**-bits of itself for x of at least 2**-bits."""
    one = 1 << (2 * bits)
    low = math.isqrt(math.floor(x[0] * one * one))
    rest = math.ceil(x[1] * one * one)
    high = math.isqrt(rest)
    return Fraction(low, one), Fraction(high + (high * high < rest), one)


def rational_power(base: Fraction, exponent: Fraction, bits: int) -> Enclosure:
    """Enclose base ** exponent, base from 0 to 1, exponent above 0; exactly where the power is rational."""
    if base in (0, 1):
        return base, base
    degree = exponent.denominator
    top, bottom = _root(base.numerator, degree), _root(base.denominator, degree)
    if top is not None and bottom is not None:
        # In lowest terms a root is rational only as a quotient of two roots.
        return integer_power(Fraction(top, bottom), exponent.numerator, bits)
    digits = bits // 3 + 20
    context = Context(prec=digits, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])
    # Decimal's quotient, logarithm and exponential are each within one unit of their last digit.
    quotient = context.divide(Decimal(base.numerator), Decimal(base.denominator))
    factor = context.divide(Decimal(exponent.numerator), Decimal(exponent.denominator))
    power = Fraction(context.exp(context.multiply(context.ln(quotient), factor)))
    slack = power * Fraction(1, 10 ** (digits - 15))
    return power - slack, power + slack


def _root(n: int, degree: int) -> int | None:
    """Return the integer whose power n is, if there is one."""
    if degree == 1 or n == 1:
        return n
    if degree >= n.bit_length():
        return None
    low, high = 1, 1 << (n.bit_length() // degree + 1)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**degree < n else (low, middle)
    return low if low**degree == n else None


def cosine_of_pi_times(x: Fraction, bits: int) -> Enclosure:
    """Enclose cos(pi x) to about 2**-bits; exactly where it is rational."""
    x %= 2
    x = min(x, 2 - x)
    sign = 1
    if x > Fraction(1, 2):
        x, sign = 1 - x, -1
    exact = {Fraction(0): Fraction(1), Fraction(1, 3): Fraction(1, 2), Fraction(1, 2): Fraction(0)}.get(x)
    if exact is not None:
        return sign * exact, sign * exact
    # Fixed point with 64 bits to spare: each of the fewer than 2^32 steps loses less than a few units.
    one = 1 << (bits + 64)
    angle = _pi(one) * x.numerator // x.denominator
    square = angle * angle // one
    total, term, n = one, one, 0
    while term:
        n += 2
        term = term * square // (one * n * (n - 1))
        total += -term if n % 4 else term
    value, slack = Fraction(total, one), Fraction(1, 1 << bits)
    return (value - slack, value + slack) if sign > 0 else (-value - slack, -value + slack)


def _pi(one: int) -> int:
    """Return pi * one, a few units less or more (Machin's formula)."""
    spare = one << 16
    return 4 * (4 * _inverse_tangent(5, spare) - _inverse_tangent(239, spare)) >> 16


def _inverse_tangent(inverse: int, one: int) -> int:
    power = one // inverse
    total, n = power, 1
    while power:
        power //= inverse * inverse
        n += 2
        total += -(power // n) if n % 4 == 3 else power // n
    return total
