from __future__ import annotations

import numpy as np
import pytest

from samebits.errors import NonFiniteError
from samebits.record.finite import check_loss, check_tensors


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_finite_names_its_step(value: float) -> None:
    check_loss(3.0, 7)
    with pytest.raises(NonFiniteError, match=r"the loss must be finite, got .* \(step 7\)"):
        check_loss(value, 7)


@pytest.mark.parametrize("kind", ["gradient", "parameter"])
def test_one_element_that_is_not_finite_names_its_tensor(kind: str) -> None:
    tensors = {"b": np.zeros((2, 3), dtype=np.float32), "a": np.zeros(4, dtype=np.float32)}
    check_tensors(tensors, kind, 2)
    tensors["b"][1, 2] = float("nan")
    with pytest.raises(NonFiniteError, match=rf"every {kind} .* got 1 of 6 .* \(step 2, {kind} of b\)"):
        check_tensors(tensors, kind, 2)
