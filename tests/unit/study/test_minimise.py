"""Whatever is to blame is found, alone where it is alone, and in few runs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from samebits.study.minimise import minimise


class Planted:
    """Differs where all culprits are there; counts how often it was asked."""

    def __init__(self, *culprits: int) -> None:
        self.culprits, self.asked = set(culprits), list[tuple[int, ...]]()

    def __call__(self, parts: Sequence[int]) -> bool:
        self.asked.append(tuple(parts))
        return self.culprits <= set(parts)


@pytest.mark.parametrize("n_parts", [1, 2, 3, 7, 20])
def test_one_culprit_is_found_alone(n_parts: int) -> None:
    for culprit in range(n_parts):
        planted = Planted(culprit)
        assert minimise(range(n_parts), planted) == [culprit]
        assert len(planted.asked) <= 2 * max(n_parts - 1, 0).bit_length()


@pytest.mark.parametrize("n_parts", [2, 5, 9])
def test_two_that_differ_only_together_are_both_found(n_parts: int) -> None:
    for pair in itertools.combinations(range(n_parts), 2):
        assert minimise(range(n_parts), Planted(*pair)) == list(pair)


def test_what_does_not_differ_again_stays_whole() -> None:
    assert minimise(range(4), lambda parts: False) == [0, 1, 2, 3]


def test_parts_keep_their_order() -> None:
    planted = Planted("c", "a")  # type: ignore[arg-type]
    minimise(["b", "c", "a", "d"], planted)  # type: ignore[arg-type]
    assert all(list(asked) == [part for part in "bcad" if part in asked] for asked in planted.asked)
