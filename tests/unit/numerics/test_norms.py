"""Arrays that do not fit are refused in one sentence; tests/oracle holds every bit of what fits against the oracle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics import norms

X = np.ones((3, 4), dtype=np.float32)
ROWS, COLUMNS = np.ones(3, dtype=np.float32), np.ones(4, dtype=np.float32)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: norms.layer_norm(X.T, eps=1), "the rows of `x` must be contiguous"),
        (lambda: norms.layer_norm(X[:, :0], eps=1), "the rows of `x` must not be empty, got [3, 0] (layer_norm, N-18)"),
        (lambda: norms.layer_norm(X, ROWS, eps=1), "`weight` must be [4], got [3] (layer_norm, N-18)"),
        (lambda: norms.layer_norm(X, COLUMNS, X, eps=1), "`bias` must have 1 dimensions"),
        (lambda: norms.layer_norm(X, eps=1e-5), "`eps` must be a float32 value, got 0x1.4f8b588e368f1p-17"),
        (lambda: norms.rms_norm(X, eps=-1), "`eps` must not be negative, got -0x1.0000000000000p+0 (rms_norm, N-18)"),
        (lambda: norms.rms_norm(X, eps=1, out=X[:2]), "`out` must be [3, 4], got [2, 4] (rms_norm, N-18)"),
        (lambda: norms.rms_norm_backward(X, X, COLUMNS), "`rstd` must be [3], got [4] (rms_norm_backward, N-18)"),
        (
            lambda: norms.layer_norm_backward(X, X, ROWS, ROWS, accumulate=True),
            "`out` must be given to accumulate into (layer_norm_backward, N-18)",
        ),
        (
            lambda: norms.layer_norm_backward(X, X, ROWS, ROWS, out=X, accumulate=True),
            "`out` must not share memory with `dy` (layer_norm_backward, N-18)",
        ),
        (
            lambda: norms.layer_norm_backward_weight(X, X[:2], ROWS, ROWS),
            "`dy` must be [2, 4], got [3, 4] (layer_norm_backward_weight, N-18)",
        ),
        (
            lambda: norms.layer_norm_backward_weight(X, X, ROWS, ROWS, out=COLUMNS, out_bias=COLUMNS),
            "`out_bias` must not share memory with `out` (layer_norm_backward_weight, N-18)",
        ),
        (
            lambda: norms.rms_norm_backward_weight(X, X, ROWS, out=X[0]),
            "`out` must not share memory with `dy` (rms_norm_backward_weight, N-18)",
        ),
    ],
)
def test_bad_arguments_are_refused(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(NumericsError) as refused:
        call()
    assert str(refused.value).startswith(sentence)
