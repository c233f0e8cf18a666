"""Kernels over rows: each on the reference and compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from samebits.numerics import losses, powers, reductions, softmax
from samebits.numerics.arrays import F32

TARGETS = np.array([0, -100, 69], dtype=np.int64)


def _rows(numbers: Callable[..., F32], seed: int) -> F32:
    """Rows some way apart, longer than the lanes."""
    return numbers(seed, 3, 80)[:, 3:73]


@pytest.mark.parametrize("reduce", [reductions.sum, reductions.amax, powers.vector_norm])
def test_reductions(same_on_both: Any, numbers: Callable[..., F32], reduce: Callable[..., F32]) -> None:
    x = _rows(numbers, 1)
    same_on_both(lambda: reduce(x))


def test_inner_products(same_on_both: Any, numbers: Callable[..., F32]) -> None:
    x, y = _rows(numbers, 2), numbers(3, 3, 70)
    same_on_both(lambda: reductions.dot(x, y))


def test_nothing_to_sum(same_on_both: Any) -> None:
    x = np.empty((2, 0), dtype=np.float32)
    same_on_both(lambda: (reductions.sum(x), reductions.amax(x)))


@pytest.mark.parametrize("forward", [softmax.softmax, softmax.log_softmax])
def test_softmaxes(same_on_both: Any, numbers: Callable[..., F32], forward: Callable[..., F32]) -> None:
    x = np.clip(_rows(numbers, 4), -20, 20)

    def in_place() -> F32:
        room = np.zeros((3, 90), dtype=np.float32)[:, :70]
        room[...] = x
        return forward(room, out=room)

    assert same_on_both(lambda: forward(x)) == same_on_both(in_place)


@pytest.mark.parametrize("backward", [softmax.softmax_backward, softmax.log_softmax_backward])
def test_gradients_of_softmaxes(same_on_both: Any, numbers: Callable[..., F32], backward: Callable[..., F32]) -> None:
    dy, y = _rows(numbers, 5), np.clip(_rows(numbers, 6), -20, 0)
    same_on_both(lambda: backward(dy, y))


def test_losses(same_on_both: Any, numbers: Callable[..., F32]) -> None:
    logits = np.clip(_rows(numbers, 7), -20, 20)
    own = same_on_both(lambda: losses.cross_entropy(logits, TARGETS))
    both = same_on_both(lambda: losses.cross_entropy_backward(logits, TARGETS, scale=0.5))
    assert both[0] == own[0]
    of_rows = np.frombuffer(own[0], dtype=np.float32)
    same_on_both(lambda: losses.loss_sum(of_rows, TARGETS))
