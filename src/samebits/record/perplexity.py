"""Perplexity: the correctly rounded exponential of a loss, the same bits on every platform.

`math.exp` is the C library's, and C libraries differ in its last bit. Python's `decimal` is exact integer arithmetic
underneath; e to a rational power other than 0 is irrational, so enough digits always decide the rounding.
"""

from __future__ import annotations

import math
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal

from samebits.errors import NonFiniteError

FIRST_DIGITS = 40
# Beyond these the answer is out of binary64's range on either side: no digits need be computed.
_OVERFLOW_FROM = 710.0
_UNDERFLOW_TO = -746.0


def correctly_rounded_exp(x: float) -> float:
    """Return the binary64 number nearest to e**x, ties impossible; infinity where that is beyond the largest.

    Raises:
        NonFiniteError: `x` is NaN or infinite.
    Source: A. Ziv, "Fast evaluation of elementary mathematical functions with correctly rounded last bit" (1991).
    """
    if not math.isfinite(x):
        raise NonFiniteError("an exponent must be finite", got=str(x))
    if x >= _OVERFLOW_FROM:
        return math.inf
    if x <= _UNDERFLOW_TO:
        return 0.0
    digits = FIRST_DIGITS
    while True:
        context = Context(prec=digits, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])
        near = Decimal(x).exp(context)
        # One unit in the last place either way holds the true value; text to binary64 is correctly rounded in Python.
        low, high = float(near.next_minus(context)), float(near.next_plus(context))
        if low == high:
            return low
        digits *= 2


def perplexity_of(loss: float) -> float | None:
    """Return e**loss, correctly rounded; None where binary64 cannot hold it.

    Raises:
        NonFiniteError: the loss is NaN or infinite.
    """
    value = correctly_rounded_exp(loss)
    return None if math.isinf(value) else value
