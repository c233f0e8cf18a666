"""Arrays that do not fit are refused in one sentence; tests/oracle holds every bit of what fits against the oracle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics import elementwise

X = np.ones((3, 4), dtype=np.float32)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: elementwise.add(X, X[0]), "`y` must be [3, 4], got [4] (add, N-09)"),
        (lambda: elementwise.add(X, X.T.copy().T), "`y` must be C-contiguous"),
        (lambda: elementwise.scale(X, 0.1), "`scalar` must be a float32 value, got 0x1.999999999999ap-4 (scale, N-09)"),
        (lambda: elementwise.add([1.0], X), "`x` must be a float32 array of native byte order, got list (add, N-09)"),
    ],
)
def test_bad_arrays_are_refused(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(NumericsError) as refused:
        call()
    assert str(refused.value).startswith(sentence)


def test_an_output_that_partly_overlaps_is_refused() -> None:
    room = np.ones(10, dtype=np.float32)
    with pytest.raises(NumericsError, match="`out` must be an operand or share no memory with one"):
        elementwise.sqrt(room[:8], out=room[2:])
