"""Arrays that do not fit are refused in one sentence; tests/oracle holds every bit of what fits against the oracle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics.dropout import dropout
from samebits.numerics.random import Purpose, Stream

X = np.ones((3, 4), dtype=np.float32)
STREAM = Stream(0, Purpose.DROPOUT)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: dropout(X.T, 0.5, STREAM), "the rows of `x` must be contiguous"),
        (lambda: dropout(X[0], 0.5, STREAM), "`x` must have 2 dimensions, got [4] (dropout, N-21)"),
        (lambda: dropout(X, 0.5, STREAM, out=X[:2]), "`out` must be [3, 4], got [2, 4] (dropout, N-21)"),
        (lambda: dropout(X, 0.5, STREAM, first=2**42 - 11), "elements of a random stream must be from 0 to 2^42 - 1"),
        (lambda: dropout(X, 1.5, STREAM), "the probability of dropout must be from 0 to 1, got 1.5 (N-21)"),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(NumericsError) as refused:
        call()
    assert str(refused.value).startswith(sentence)


def test_an_output_that_partly_overlaps_is_refused() -> None:
    room = np.ones((4, 4), dtype=np.float32)
    with pytest.raises(NumericsError, match="`out` must be `x` or share no memory with it"):
        dropout(room[:3], 0.5, STREAM, out=room[1:])
