"""Reductions (N-07): 64 lanes, then a fixed tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

from samebits.numerics.oracle.binary32 import MINUS_INFINITY, MINUS_ZERO, add, fma, maximum

N_LANES = 64


def sum_of(x: Sequence[int]) -> int:
    """Return the sum of a row (N-07)."""
    return _join(add, _lanes(add, MINUS_ZERO, [(element,) for element in x]))


def amax(x: Sequence[int]) -> int:
    """Return the largest element of a row (N-07)."""
    return _join(maximum, _lanes(maximum, MINUS_INFINITY, [(element,) for element in x]))


def dot(x: Sequence[int], y: Sequence[int]) -> int:
    """Return the inner product of two rows (N-07)."""

    def take_in(lane: int, left: int, right: int) -> int:
        return fma(left, right, lane)

    return _join(add, _lanes(take_in, MINUS_ZERO, list(zip(x, y, strict=True))))


def join_sums(lanes: Sequence[int]) -> int:
    """Return the sum of 64 lanes (N-07)."""
    return _join(add, list(lanes))


def _lanes(take_in: Callable[..., int], empty: int, elements: Sequence[tuple[int, ...]]) -> list[int]:
    return [
        reduce(lambda lane, element: take_in(lane, *element), elements[number::N_LANES], empty)
        for number in range(N_LANES)
    ]


def _join(join: Callable[[int, int], int], lanes: list[int]) -> int:
    half = N_LANES // 2
    while half:
        lanes = [join(lanes[number], lanes[number + half]) for number in range(half)]
        half //= 2
    return lanes[0]
