"""An outside probe reveals each summation tree from its results alone, and it is the clause's.

In a sum of ones, put a huge M at place i and -M at place j. Every one that is added before the two have met is lost in
M; those outside the smallest subtree that holds both survive. So the result, n minus the leaves of that subtree, tells
where the branches of each pair join. Method: FPRev, "Revealing the order of floating-point summation", 2025.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest

from samebits.numerics import products, reductions
from samebits.numerics.library import Library

HUGE = 2.0**100
Sum = Callable[[np.ndarray], np.ndarray]


def probe(sum_rows: Sum, n: int) -> dict[tuple[int, int], int]:
    """Return, per pair of places, how many leaves the smallest subtree with both has."""
    pairs = list(combinations(range(n), 2))
    rows = np.ones((len(pairs), n), dtype=np.float32)
    for row, (i, j) in zip(rows, pairs, strict=True):
        row[i], row[j] = HUGE, -HUGE
    return dict(zip(pairs, (n - sum_rows(rows)).astype(int).tolist(), strict=True))


def joined(tree: dict[tuple[int, int], int], left: list[int], right: list[int]) -> list[int]:
    for pair in ((i, j) for i in left for j in right):
        tree[min(pair), max(pair)] = len(left) + len(right)
    return left + right


def chain(places: list[int], tree: dict[tuple[int, int], int]) -> list[int]:
    leaves: list[int] = []
    for place in places:
        leaves = joined(tree, leaves, [place])
    return leaves


def tree_of_the_product(n: int) -> dict[tuple[int, int], int]:
    tree: dict[tuple[int, int], int] = {}
    chain(list(range(n)), tree)
    return tree


def tree_of_the_lanes(n: int) -> dict[tuple[int, int], int]:
    tree: dict[tuple[int, int], int] = {}
    lanes = [chain(list(range(lane, n, 64)), tree) for lane in range(64)]
    for distance in (32, 16, 8, 4, 2, 1):
        lanes = [joined(tree, lanes[lane], lanes[lane + distance]) for lane in range(distance)]
    return tree


@pytest.mark.compiled
def test_products_are_one_ascending_chain(native: Library) -> None:
    for columns in (1, 8, 33):
        column = np.ones((70, columns), dtype=np.float32)
        assert probe(lambda rows, column=column: products.mm(rows, column)[:, -1], 70) == tree_of_the_product(70)


@pytest.mark.compiled
def test_sums_and_inner_products_have_64_lanes(native: Library) -> None:
    for n in (3, 64, 100, 150):
        assert probe(reductions.sum, n) == tree_of_the_lanes(n)
        assert probe(lambda rows: reductions.dot(rows, np.ones_like(rows)), n) == tree_of_the_lanes(n)


def test_the_probe_tells_other_orders_apart() -> None:
    assert probe(lambda rows: rows.sum(axis=1), 100) not in (tree_of_the_lanes(100), tree_of_the_product(100))
