"""Exponents and rows; tests/oracle holds every bit, test_pointwise.py what is refused of arrays."""

from __future__ import annotations

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics import powers

X = np.ones((3, 4), dtype=np.float32)


def test_an_exponent_is_an_array_or_a_float32_value() -> None:
    two = np.full_like(X, 2.0)
    assert powers.pow(two, 3.0).tobytes() == powers.pow(two, np.full_like(X, 3.0)).tobytes()
    with pytest.raises(NumericsError, match=r"`exponent` must be \[3, 4\], got \[4\] \(pow, N-15\)"):
        powers.pow(X, X[0])
    with pytest.raises(NumericsError, match="`exponent` must be a float32 value"):
        powers.pow(X, 0.1)


def test_rows_must_be_contiguous() -> None:
    with pytest.raises(NumericsError, match="the rows of `x` must be contiguous"):
        powers.vector_norm(X.T)
    with pytest.raises(NumericsError, match="`x` must have 2 dimensions"):
        powers.vector_norm(X[0])
