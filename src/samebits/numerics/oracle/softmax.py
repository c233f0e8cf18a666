"""Softmax, log-softmax and cross-entropy (N-19), one row at a time."""

from __future__ import annotations

from collections.abc import Sequence

from samebits.numerics.oracle.binary32 import MINUS_ZERO, ONE, SIGN, ZERO, add, div, fma, mul, sub
from samebits.numerics.oracle.functions import exp, log
from samebits.numerics.oracle.reductions import N_LANES, amax, dot, join_sums, sum_of

Row = Sequence[int]
NO_TARGET = -100


def softmax(x: Row) -> list[int]:
    """Return a row's softmax."""
    exponentials = _exponentials(x)
    inverse = div(ONE, sum_of(exponentials))
    return [mul(exponential, inverse) for exponential in exponentials]


def log_softmax(x: Row) -> list[int]:
    """Return a row's log-softmax."""
    maximum, log_sum = amax(x), log(sum_of(_exponentials(x)))
    return [sub(sub(element, maximum), log_sum) for element in x]


def softmax_backward(dy: Row, y: Row) -> list[int]:
    """Return the gradient of a row of softmax's x."""
    along = dot(dy, y)
    return [mul(p, sub(d, along)) for d, p in zip(dy, y, strict=True)]


def log_softmax_backward(dy: Row, y: Row) -> list[int]:
    """Return the gradient of a row of log-softmax's x."""
    total = sum_of(dy)
    return [fma(exp(log_p) ^ SIGN, total, d) for d, log_p in zip(dy, y, strict=True)]


def cross_entropy(logits: Row, target: int) -> int:
    """Return a row's loss."""
    if target == NO_TARGET:
        return ZERO
    return sub(log(sum_of(_exponentials(logits))), sub(logits[target], amax(logits)))


def cross_entropy_backward(logits: Row, target: int, scale: int) -> list[int]:
    """Return the gradient of a row's logits."""
    if target == NO_TARGET:
        return [ZERO] * len(logits)
    gradient = softmax(logits)
    gradient[target] = sub(gradient[target], ONE)
    return [mul(scale, element) for element in gradient]


def loss_sum(losses: Row, targets: Sequence[int]) -> int:
    """Return the sum over the rows that have a target, in the lanes of their numbers."""
    lanes = [MINUS_ZERO] * N_LANES
    for number, (loss, target) in enumerate(zip(losses, targets, strict=True)):
        if target != NO_TARGET:
            lanes[number % N_LANES] = add(lanes[number % N_LANES], loss)
    return join_sums(lanes)


def _exponentials(x: Row) -> list[int]:
    maximum = amax(x)
    return [exp(sub(element, maximum)) for element in x]
