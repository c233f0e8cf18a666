"""The gradient's norm and AdamW, on the reference and compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from samebits.numerics.arrays import F32
from samebits.numerics.optimizer import AdamW, FlatTensors, adamw, adamw_scalars, gradient_norm

TENSORS = FlatTensors({"b": (2, 3), "a": (70,), "none": (0,)})


@pytest.mark.parametrize("n_targets", [1, 7])
def test_the_norm(same_on_both: Any, numbers: Callable[..., F32], n_targets: int) -> None:
    def whole() -> tuple[Any, ...]:
        gradient = numbers(1, TENSORS.size)
        return gradient_norm(gradient, TENSORS, n_targets=n_targets), gradient

    same_on_both(whole)


def test_three_updates(same_on_both: Any, numbers: Callable[..., F32]) -> None:
    def whole() -> list[F32]:
        parameter, gradient = numbers(2, 9), np.clip(numbers(3, 9), -4, 4)
        mean, square = np.zeros((2, 9), dtype=np.float32)
        for step in range(3):
            scalars = adamw_scalars(AdamW(weight_decay=0.1), learning_rate=0.01, step=step, clip=0.5)
            adamw(parameter, gradient, mean, square, scalars)
        return [parameter, gradient, mean, square]

    same_on_both(whole)
