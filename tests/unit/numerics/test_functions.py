"""Which kernel a call reaches; tests/oracle holds every bit, test_pointwise.py what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics import functions

X = np.array([-1.0, 0.5], dtype=np.float32)


def test_both_forms_of_gelu_are_told_apart() -> None:
    assert functions.gelu(X).tobytes() == functions.gelu(X, approximate="none").tobytes()
    assert functions.gelu(X).tobytes() != functions.gelu(X, approximate="tanh").tobytes()
    by_tanh = functions.gelu_backward(X, X, approximate="tanh")
    assert functions.gelu_backward(X, X).tobytes() != by_tanh.tobytes()


def test_another_form_is_refused() -> None:
    with pytest.raises(NumericsError, match=r"`approximate` must be 'none' or 'tanh', got 'erf' \(gelu, N-08\)"):
        functions.gelu(X, approximate="erf")  # type: ignore[arg-type]


def test_operands_are_named_in_refusals() -> None:
    with pytest.raises(NumericsError, match=r"`output` must be \[2\], got \[1\] \(tanh_backward, N-08\)"):
        functions.tanh_backward(X, X[:1])
    with pytest.raises(NumericsError, match="`threshold` must be a float32 value"):
        functions.threshold_backward(X, X, 0.1)
