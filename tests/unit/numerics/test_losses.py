"""Arguments that do not fit are refused in one sentence; tests/oracle holds every bit of what fits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics import losses

X, ROWS = np.ones((3, 4), dtype=np.float32), np.ones(3, dtype=np.float32)
TARGETS = np.array([0, losses.NO_TARGET, 3])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: losses.cross_entropy(X.T, TARGETS), "the rows of `logits` must be contiguous"),
        (
            lambda: losses.cross_entropy(X, TARGETS + 1),
            "`targets` must be from 0 to 3, or -100, got -99 (cross_entropy, N-19)",
        ),
        (
            lambda: losses.cross_entropy_backward(X, np.array([0, 4, 0])),
            "`targets` must be from 0 to 3, or -100, got 4 (cross_entropy_backward, N-19)",
        ),
        (lambda: losses.cross_entropy(X, TARGETS[:2]), "`targets` must be [3], got [2] (cross_entropy, N-19)"),
        (lambda: losses.cross_entropy(X, ROWS), "`targets` must be an int64 array of native byte order, got float32"),
        (lambda: losses.cross_entropy(X, [0, 1, 2]), "`targets` must be an int64 array of native byte order, got list"),
        (lambda: losses.loss_sum(ROWS[:2], TARGETS[::2]), "`targets` must be C-contiguous, got strides (16,)"),
        (
            lambda: losses.cross_entropy_backward(X, TARGETS, scale=0.1),
            "`scale` must be a float32 value, got 0x1.999999999999ap-4 (cross_entropy_backward, N-19)",
        ),
        (
            lambda: losses.cross_entropy_backward(X[:, :3], np.array([0, 1, 2]), out=X[:, 1:]),
            "`out` must not share memory with `logits` (cross_entropy_backward, N-19)",
        ),
        (lambda: losses.loss_sum(X, TARGETS), "`losses` must have 1 dimensions, got [3, 4] (loss_sum, N-19)"),
    ],
)
def test_bad_arguments_are_refused(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(NumericsError) as refused:
        call()
    assert str(refused.value).startswith(sentence)
