"""N-11: sums that tell one tree from another, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from samebits.numerics.library import Library
from samebits.numerics.sample_tree import SampleTree

BIG = 2.0**24


def total(leaves: list[float]) -> float:
    tree = SampleTree(len(leaves), (1,))
    for leaf in leaves:
        tree.add(np.array([leaf], dtype=np.float32))
    return float(tree.total()[0])


@pytest.mark.parametrize(
    ("leaves", "expected"),
    [
        ([3], 3),
        # 2^24 + 1 is lost unless another 1 came first.
        ([BIG, 1, 1], BIG),
        ([1, 1, BIG], BIG + 2),
        # Two and two.
        ([BIG, 1, 1, 1], BIG + 2),
        # Four and one.
        ([BIG, 0, 0, 1, 1], BIG),
        # Four and two: the two meet first.
        ([BIG, 0, 0, 0, 1, 1], BIG + 2),
        # Four and three; the three are two and one.
        ([BIG, 0, 0, 0, 1, 0, 1], BIG + 2),
        ([1, 0, 0, 0, BIG, 1, 1], BIG),
        ([0, 0, 0, 0, 1, 1, BIG], BIG + 2),
        # Eight and three, not four, four and three.
        ([BIG, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0], BIG),
        ([0, 0, 0, 0, 1, 0, 0, 0, 1, BIG, 0], BIG),
    ],
)
def test_the_tree(native: Library, leaves: list[float], expected: float) -> None:
    assert total(leaves) == expected


def test_a_sum_of_minus_zeros_is_minus_zero(native: Library) -> None:
    assert np.signbit(np.float32(total([-0.0] * 5)))


def test_few_buffers_are_in_use(native: Library) -> None:
    tree = SampleTree(1000, (4,))
    seen = set()
    for i in range(1000):
        leaf = tree.buffer()
        leaf[...] = i
        seen.add(leaf.ctypes.data)
        tree.add(leaf)
    assert tree.total().tolist() == [499500.0] * 4
    assert len(seen) <= 11
