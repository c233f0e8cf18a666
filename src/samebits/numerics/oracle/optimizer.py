"""Sums over samples and the optimizer, one element at a time (N-11, N-13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from samebits.numerics.oracle.binary32 import ONE, add, div, greater, mul, rounded, sqrt, sub
from samebits.numerics.oracle.random import nearest, number
from samebits.numerics.oracle.reductions import dot, sum_of


def tree(leaves: Sequence[int]) -> int:
    """Return the sum of one element over the samples (N-11)."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while 2 * half < len(leaves):
        half *= 2
    return add(tree(leaves[:half]), tree(leaves[half:]))


def mean(summed: int, n_targets: int) -> int:
    """Return an element of the mean gradient (N-13)."""
    return div(summed, rounded(0, n_targets, 0))


def norm(tensors: Sequence[Sequence[int]]) -> int:
    """Return the length of a gradient whose tensors are sorted by name (N-13)."""
    return sqrt(sum_of([dot(tensor, tensor) for tensor in tensors]))


def clip(length: int, max_norm: Fraction) -> int:
    """Return what a gradient is multiplied by (N-13)."""
    factor = div(nearest(max_norm), add(length, nearest(Fraction(1, 10**6))))
    return ONE if max_norm == 0 or not greater(ONE, factor) else factor


@dataclass(frozen=True)
class Settings:
    """AdamW's settings, as rational numbers."""

    beta1: Fraction
    beta2: Fraction
    eps: Fraction
    weight_decay: Fraction


def scalars(settings: Settings, rate: Fraction, step: int, clip_factor: int) -> list[int]:
    """Return the scalars of one update: clip, b1, a1, b2, a2, q, e, keep and size (N-13)."""
    t = step + 1
    return [
        clip_factor,
        nearest(settings.beta1),
        nearest(1 - settings.beta1),
        nearest(settings.beta2),
        nearest(1 - settings.beta2),
        nearest_root(1 / (1 - settings.beta2**t)),
        nearest(settings.eps),
        nearest(1 - rate * settings.weight_decay),
        nearest(rate / (1 - settings.beta1**t)),
    ]


def adamw(p: int, g: int, m: int, v: int, of_step: Sequence[int]) -> tuple[int, int, int]:
    """Return parameter, mean and square after one update of an element (N-13)."""
    factor, b1, a1, b2, a2, q, e, keep, size = of_step
    h = mul(g, factor)
    m = add(mul(m, b1), mul(h, a1))
    v = add(mul(v, b2), mul(mul(h, h), a2))
    d = add(mul(sqrt(v), q), e)
    return sub(mul(p, keep), mul(div(m, d), size)), m, v


def nearest_root(x: Fraction) -> int:
    """Return the float32 nearest to sqrt(x), x from 1 on, by bisection among all float32."""
    low, high = ONE, 0x7F7FFFFF
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if number(middle) ** 2 <= x else (low, middle)
    return low if ((number(low) + number(high)) / 2) ** 2 > x else high
