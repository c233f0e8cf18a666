"""Rotary position embedding and embedding (N-20): exact comparisons of rational numbers, then single roundings."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from samebits.numerics.oracle.binary32 import ONE, SIGN, ZERO, add, fma, mul, rounded
from samebits.numerics.oracle.random import number
from samebits.numerics.oracle.trigonometric import cos, sin


def inverse_frequency(i: int, d: int, theta: Fraction) -> int:
    """Return the float32 nearest to theta ** (-2 i / d): the last pattern not above it, or that one's neighbour."""

    def above(x: Fraction) -> bool:
        return x**d * theta ** (2 * i) > 1

    low, high = ZERO, ONE
    if not above(number(high)):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if above(number(middle)) else (middle, high)
    return low if above((number(low) + number(high)) / 2) else high


def table_row(position: int, frequencies: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return cosines and sines of one position (N-20)."""
    angles = [mul(rounded(0, position, 0), frequency) for frequency in frequencies]
    return [cos(angle) for angle in angles], [sin(angle) for angle in angles]


def rotate(x: Sequence[int], cosines: Sequence[int], sines: Sequence[int], *, backward: bool = False) -> list[int]:
    """Return one head's numbers turned by one row of the tables, backward by the negative angles (N-20)."""
    half = len(x) // 2
    first, second = [], []
    for a, b, c, s in zip(x[:half], x[half:], cosines, sines, strict=True):
        turned = s ^ SIGN if backward else s
        first.append(fma(a, c, mul(b, turned) ^ SIGN))
        second.append(fma(b, c, mul(a, turned)))
    return first + second


def embedding_backward(
    dout: Sequence[Sequence[int]], ids: Sequence[int], onto: Sequence[Sequence[int]]
) -> list[list[int]]:
    """Return what the table's gradient held, with each position's row added to its token's (N-20)."""
    table = [list(row) for row in onto]
    for row, token in zip(dout, ids, strict=True):
        table[token] = [add(held, new) for held, new in zip(table[token], row, strict=True)]
    return table
