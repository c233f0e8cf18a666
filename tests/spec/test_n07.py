"""N-07: known answers of reductions, by hand; and which lane an element goes to."""

from __future__ import annotations

import numpy as np
import pytest

from samebits.numerics import reductions
from samebits.numerics.library import Library

BIG = 2.0**24


def ones_with(n: int, **places: float) -> np.ndarray:
    row = np.zeros((1, n), dtype=np.float32)
    for place, number in places.items():
        row[0, int(place[1:])] = number
    return row


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        # 2^24 + 1 + 1 in one lane loses both ones: 64 and 128 are in the lane of 0.
        ({"_0": BIG, "_64": 1, "_128": 1}, BIG),
        # 1 and 65 are in lane 1: their sum is 2 before it meets lane 0.
        ({"_0": BIG, "_1": 1, "_65": 1}, BIG + 2),
        # Lanes 32 and 16: 32 joins 0 first, so that a one is lost; then 16 meets the rest, and its one is lost too.
        ({"_0": BIG, "_32": 1, "_16": 1}, BIG),
        # Lanes 16 and 48 join first (48 = 16 + 32).
        ({"_0": BIG, "_16": 1, "_48": 1}, BIG + 2),
        # Lanes 1 and 2 meet lane 0 one after the other: 2 first.
        ({"_0": BIG, "_1": 1, "_2": 1}, BIG),
        # Lanes 1 and 3 join first.
        ({"_0": BIG, "_1": 1, "_3": 1}, BIG + 2),
    ],
)
def test_the_lanes_and_their_tree(native: Library, places: dict[str, float], expected: float) -> None:
    row = ones_with(192, **places)
    assert reductions.sum(row).tolist() == [expected]
    assert reductions.dot(row, np.ones_like(row)).tolist() == [expected]


@pytest.mark.parametrize("n", [0, 1, 5, 63, 64, 65, 200])
def test_missing_elements_are_skipped(native: Library, n: int) -> None:
    minus_zeros = np.full((1, n), -0.0, dtype=np.float32)
    assert reductions.sum(minus_zeros).view(np.uint32).tolist() == [0x80000000]
    lowest = np.full((1, n), np.finfo(np.float32).min, dtype=np.float32)
    assert reductions.amax(lowest).tolist() == [float("-inf") if n == 0 else float(np.finfo(np.float32).min)]


def test_of_equal_zeros_the_later_is_the_maximum(native: Library) -> None:
    def largest(*places: tuple[int, float]) -> int:
        row = np.full((1, 128), -1, dtype=np.float32)
        for place, number in places:
            row[0, place] = number
        return int(reductions.amax(row).view(np.uint32)[0])

    assert largest((0, 0.0), (64, -0.0)) == 0x80000000
    assert largest((0, -0.0), (64, 0.0)) == 0
    assert largest((0, 0.0), (32, -0.0)) == 0x80000000
    assert largest((1, -0.0), (0, 0.0)) == 0x80000000
