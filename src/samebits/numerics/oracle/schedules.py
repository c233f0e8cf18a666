"""Learning rates by decimal arithmetic of a hundred digits (N-13).

Not by way of an enclosure: a hundred digits are taken to be enough for every case that a test asks for.
"""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction

DIGITS = 100
CONTEXT = Context(prec=DIGITS, Emin=-10000, Emax=10000)


def learning_rate(
    kind: str,
    step: int,
    *,
    peak: Fraction,
    n_steps: int,
    warmup_steps: int = 0,
    cycles: Fraction = Fraction(1),
    power: Fraction = Fraction(1),
    end: Fraction = Fraction(0),
) -> float:
    """Return the rate of a step (N-13)."""
    if kind == "constant":
        return nearest(peak)
    if step < warmup_steps:
        return nearest(peak * step / warmup_steps)
    progress = Fraction(step - warmup_steps, max(1, n_steps - warmup_steps))
    if kind == "constant_with_warmup":
        return nearest(peak)
    if kind == "linear":
        return nearest(max(Fraction(0), peak * (1 - progress)) if n_steps > warmup_steps else Fraction(0))
    if kind == "cosine":
        return nearest(peak * (1 + cosine(2 * cycles * progress)) / 2)
    if kind == "cosine_with_restarts":
        rest = cycles * progress - cycles * progress // 1
        return nearest(peak * (1 + cosine(rest)) / 2 if progress < 1 else Fraction(0))
    left = 1 - progress
    if step >= n_steps:
        return nearest(end)
    raised = CONTEXT.exp(CONTEXT.multiply(CONTEXT.ln(decimal(left)), decimal(power)))
    return nearest((peak - end) * Fraction(raised) + end)


def decimal(x: Fraction) -> Decimal:
    """Return x to a hundred digits."""
    return CONTEXT.divide(Decimal(x.numerator), Decimal(x.denominator))


def nearest(x: Fraction) -> float:
    """Return the binary64 number nearest to x to a hundred digits: Python reads decimals correctly rounded."""
    rounded_to_90 = Context(prec=90, Emin=-10000, Emax=10000).divide(Decimal(x.numerator), Decimal(x.denominator))
    return float(rounded_to_90)


def cosine(x: Fraction) -> Fraction:
    """Return cos(pi x) to about 95 digits: the series at x / 2^20, then twenty doublings; 0 and 1 exactly."""
    if (2 * x).denominator == 1:
        return Fraction([1, 0, -1, 0][int(2 * x) % 4])
    angle = Fraction(CONTEXT.multiply(pi(), decimal(x % 2))) / 2**20
    square = angle * angle
    # 1 - cos, so that doubling loses nothing: 1 - cos 2a = 2 (1 - cos a)(2 - (1 - cos a)).
    term, versine, n = Fraction(1), Fraction(0), 0
    while n < 24:
        n += 2
        term = cut(-term * square / (n * (n - 1)))
        versine -= term
    for _ in range(20):
        versine = cut(2 * versine * (2 - versine))
    return 1 - versine


def cut(x: Fraction) -> Fraction:
    """Return x without what is below 10^-115."""
    return Fraction(x * 10**115 // 1, 10**115)


def pi() -> Decimal:
    """Return pi by Gauss, Legendre, Brent and Salamin: the digits double each time."""
    context = Context(prec=DIGITS + 20)
    a, b, t, p = Decimal(1), context.divide(Decimal(1), context.sqrt(Decimal(2))), Decimal("0.25"), 1
    for _ in range(8):
        mean = context.divide(context.add(a, b), Decimal(2))
        b = context.sqrt(context.multiply(a, b))
        step = context.subtract(a, mean)
        t = context.subtract(t, context.multiply(Decimal(p), context.multiply(step, step)))
        a, p = mean, 2 * p
    total = context.add(a, b)
    return context.divide(context.multiply(total, total), context.multiply(Decimal(4), t))
