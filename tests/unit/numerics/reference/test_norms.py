"""Norms and their gradients, on the reference and compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from samebits.numerics import norms
from samebits.numerics.arrays import F32

ROWS, N = 3, 9


@pytest.fixture
def operands() -> tuple[F32, ...]:
    """x and dy, whose rows are some way apart, a weight and a bias."""
    generator = np.random.default_rng(3)
    x, dy = (generator.standard_normal((ROWS, N + 2)).astype(np.float32)[:, 1:-1] for _ in range(2))
    weight, bias = (generator.standard_normal(N).astype(np.float32) for _ in range(2))
    return x, dy, weight, bias


@pytest.mark.parametrize("parameters", ["both", "weight", "bias", "none"])
def test_layer_norm(same_on_both: Any, operands: tuple[F32, ...], parameters: str) -> None:
    x, dy, weight, bias = operands
    own_weight = weight if parameters in ("both", "weight") else None
    own_bias = bias if parameters in ("both", "bias") else None

    def whole() -> list[F32]:
        y, mean, rstd = norms.layer_norm(x, own_weight, own_bias, eps=2.0**-16)
        onto = np.ones((ROWS, N), dtype=np.float32)
        return [
            *(y, mean, rstd, norms.layer_norm_backward(dy, x, mean, rstd, own_weight)),
            norms.layer_norm_backward(dy, x, mean, rstd, own_weight, out=onto, accumulate=True),
        ]

    same_on_both(whole)


@pytest.mark.parametrize("has_weight", [True, False])
def test_rms_norm(same_on_both: Any, operands: tuple[F32, ...], has_weight: bool) -> None:
    x, dy, weight, _ = operands
    own_weight = weight if has_weight else None

    def whole() -> list[F32]:
        y, rstd = norms.rms_norm(x, own_weight, eps=2.0**-16)
        onto = np.ones((ROWS, N), dtype=np.float32)
        return [
            *(y, rstd, norms.rms_norm_backward(dy, x, rstd, own_weight)),
            norms.rms_norm_backward(dy, x, rstd, own_weight, out=onto, accumulate=True),
        ]

    same_on_both(whole)


@pytest.mark.parametrize("accumulate", [False, True])
def test_gradients_of_parameters(same_on_both: Any, operands: tuple[F32, ...], accumulate: bool) -> None:
    x, dy, weight, bias = operands
    statistics = np.linspace(0.5, 1, ROWS, dtype=np.float32)

    def whole() -> list[F32]:
        held = [array.copy() if accumulate else None for array in (weight, bias, weight)]
        first = norms.layer_norm_backward_weight(
            dy, x, statistics, statistics, out=held[0], out_bias=held[1], accumulate=accumulate
        )
        return [*first, norms.rms_norm_backward_weight(dy, x, statistics, out=held[2], accumulate=accumulate)]

    same_on_both(whole)
