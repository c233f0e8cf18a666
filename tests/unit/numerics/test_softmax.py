"""Arrays that do not fit are refused in one sentence; tests/oracle holds every bit of what fits against the oracle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics import softmax

X = np.ones((3, 4), dtype=np.float32)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: softmax.softmax(X.T), "the rows of `x` must be contiguous"),
        (lambda: softmax.softmax(X[:, :0]), "the rows of `x` must not be empty, got [3, 0] (softmax, N-19)"),
        (lambda: softmax.log_softmax(X, out=X[:2]), "`out` must be [3, 4], got [2, 4] (log_softmax, N-19)"),
        (
            lambda: softmax.softmax_backward(X[:2], X),
            "`dy` must be [3, 4], got [2, 4] (softmax_backward, N-19)",
        ),
        (
            lambda: softmax.log_softmax_backward(X[:, :3], X[:, 1:], out=X[:, :3]),
            "`out` must not share memory with `y` (log_softmax_backward, N-19)",
        ),
    ],
)
def test_bad_arrays_are_refused(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(NumericsError) as refused:
        call()
    assert str(refused.value).startswith(sentence)
