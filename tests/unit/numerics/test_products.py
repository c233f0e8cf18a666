"""Arrays that do not fit are refused in one sentence; tests/oracle holds every bit of what fits against the oracle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics import library, products

X = np.ones((3, 4), dtype=np.float32)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: products.mm(X, X), "`b` must be [4, 4], got [3, 4] (mm, N-04)"),
        (
            lambda: products.mm(X.astype(np.float64), X.T),
            "`a` must be a float32 array of native byte order, got float64",
        ),
        (lambda: products.mm(X.astype(">f4"), X.T), "`a` must be a float32 array of native byte order, got >f4"),
        (lambda: products.mm(X[0], X), "`a` must have 2 dimensions, got [4] (mm, N-04)"),
        (lambda: products.mm(np.ones((6, 8), np.float32)[::2, ::2], X.T), "a stride of `a` must be one element"),
        (lambda: products.mm(X, X.T, X[0]), "`bias` must be [3], got [4] (mm, N-04)"),
        (lambda: products.mm(X, X.T, accumulate=True), "`out` must be given to accumulate into (mm, N-04)"),
        (lambda: products.mm(X[:, :3], X[:, :3].T, out=X[:, 1:]), "`out` must not share memory with `a` (mm, N-04)"),
        (lambda: products.mm(X, X.T, out=np.ones((2, 2), np.float32)), "`out` must be [3, 3], got [2, 2] (mm, N-04)"),
        (lambda: products.linear(X[:, :2], products.pack(X, layout="nk")), "`x` must be [M, K] = [M, 4], got [3, 2]"),
        (
            lambda: products.linear_backward(X, products.pack(X, layout="nk")),
            "`dy` must be [M, N] = [M, 3], got [3, 4] (linear_backward, N-04)",
        ),
        (lambda: products.pack(X, layout="xy"), """`layout` must be "nk" or "kn", got 'xy' (pack, N-04)"""),
    ],
)
def test_bad_arrays_are_refused(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(NumericsError) as refused:
        call()
    assert str(refused.value).startswith(sentence)


def test_a_read_only_output_is_refused() -> None:
    out = np.ones((3, 3), dtype=np.float32)
    out.flags.writeable = False
    with pytest.raises(NumericsError, match="`out` must be writable"):
        products.mm(X, X.T, out=out)


def test_a_weight_of_another_library_is_refused() -> None:
    weight = products.pack(X, layout="nk")
    other = library.open_library(library.runnable_isas()[0])
    with library.using(other), pytest.raises(NumericsError, match="`weight` must be packed for"):
        products.linear(X, weight)
    with library.using(other), pytest.raises(NumericsError, match="`weight` must be packed for"):
        products.linear_backward(X[:, :3], weight)
