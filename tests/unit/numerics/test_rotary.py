"""Settings and arrays that do not fit are refused in one sentence; tests/oracle holds every bit of what fits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics import rotary
from samebits.numerics.rotary import LinearScaling, Llama3Scaling, inverse_frequencies

X = np.ones((3, 2, 8), dtype=np.float32)
TABLE = np.ones((3, 4), dtype=np.float32)
WIDE = np.ones((3, 9), dtype=np.float32)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: inverse_frequencies(7, 1e4), "the width of a head must be even to be rotated, got 7"),
        (lambda: inverse_frequencies(0, 1e4), "the width of a head must be even to be rotated, got 0"),
        (lambda: inverse_frequencies(8, 0.5), "`theta` must be 1 or more, got 0.5"),
        (lambda: inverse_frequencies(8, 1e4, LinearScaling(0.5)), "`factor` must be 1 or more, got 0.5"),
        (lambda: inverse_frequencies(8, 1e4, Llama3Scaling(8.0, 4.0, 1.0, 8192)), "frequency factors must be above 0"),
        (lambda: rotary.tables(2**24 + 1, TABLE[0]), "positions must be from 0 to 2^24, got 16777217"),
        (lambda: rotary.rotate(X[0], TABLE, TABLE), "`x` must have 3 dimensions, got [2, 8] (rotate, N-20)"),
        (lambda: rotary.rotate(X[:, :, :7], TABLE, TABLE), "the width of a head must be even to be rotated, got 7"),
        (lambda: rotary.rotate(X, TABLE[:2], TABLE), "`cos` must be [3, 4], got [2, 4]"),
        (lambda: rotary.rotate_backward(X, TABLE, TABLE[:, :2]), "`sin` must be [3, 4], got [3, 2]"),
        (lambda: rotary.rotate(X, TABLE, WIDE[:, :4]), "the rows of `cos` and `sin` must be equally far apart"),
        (lambda: rotary.rotate(X[..., ::-1], TABLE, TABLE), "the heads of `x` must be contiguous"),
        (lambda: rotary.rotate(X[:2], TABLE[:2], TABLE[:2], out=X[1:]), "`out` must not share memory with `x`"),
        (lambda: rotary.rotate(X, TABLE, TABLE, out=X[:2]), "`out` must be [3, 2, 8], got [2, 2, 8]"),
    ],
)
def test_bad_arguments_are_refused(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(NumericsError) as refused:
        call()
    assert str(refused.value).startswith(sentence)
