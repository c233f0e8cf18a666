"""Arrays and settings that do not fit are refused in one sentence; tests/oracle holds every bit of what fits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics import optimizer
from samebits.numerics.optimizer import AdamW, FlatTensors

X = np.ones(4, dtype=np.float32)
SCALARS = np.ones(9, dtype=np.float32)
TENSORS = FlatTensors({"b": (2, 1), "a": (), "c": (0, 5)})


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: optimizer.gradient_norm(X, TENSORS), "`gradient` must be [3], got [4] (gradient_norm, N-13)"),
        (lambda: optimizer.gradient_norm(X[:3], TENSORS, n_targets=0), "a batch must have a target token, got 0"),
        (lambda: optimizer.adamw(X, X.copy(), X.copy(), X[:3], SCALARS), "`square` must be [4], got [3]"),
        (lambda: optimizer.adamw(X, X, X.copy(), X.copy(), SCALARS), "the four arrays of an update must lie apart"),
        (lambda: optimizer.adamw(X, X.copy(), X.copy(), X.copy(), SCALARS[1:]), "`scalars` must be [9], got [8]"),
        (lambda: AdamW(beta1=1.0), "`beta1` must be from 0 to below 1, got 1.0 (N-13)"),
        (lambda: AdamW(eps=-1.0), "`eps` must be from 0 to below inf, got -1.0"),
        (lambda: AdamW(weight_decay=float("nan")), "`weight_decay` must be from 0 to below inf, got nan"),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(NumericsError) as refused:
        call()
    assert str(refused.value).startswith(sentence)


def test_views_are_by_sorted_name_and_of_their_shape() -> None:
    flat = np.arange(3, dtype=np.float32)
    views = TENSORS.views(flat)
    assert {name: view.tolist() for name, view in views.items()} == {"a": 0.0, "b": [[1.0], [2.0]], "c": []}
    views["b"][0, 0] = 7
    assert flat.tolist() == [0, 7, 2]


def test_read_only_arrays_are_not_written() -> None:
    frozen = X.copy()
    frozen.flags.writeable = False
    with pytest.raises(NumericsError, match="`mean` must be writable"):
        optimizer.adamw(X.copy(), frozen, frozen, X.copy(), SCALARS)
    optimizer.adamw(X.copy(), frozen, X.copy(), X.copy(), SCALARS)
