"""Small whole numbers are exact in float32, in whatever order they are summed: what is expected is plain algebra."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from samebits.models.linear import Linear, LinearInput, LowRank
from samebits.models.noise import Noise
from samebits.models.pack import Segment
from samebits.numerics import products

pytestmark = pytest.mark.usefixtures("native_libraries")

Array = np.ndarray[Any, Any]
T, N_IN, N_OUT, R = 6, 5, 4, 2
SEGMENTS = (Segment(0, 4, 8), Segment(4, 6, 2))
OFF, ON = Noise(1), Noise(1, 3, {"a": 0, "b": 1})


def _whole(*shape: int, seed: int) -> Array:
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


X, W, BIAS = _whole(T, N_IN, seed=1), _whole(N_IN, N_OUT, seed=2), _whole(N_OUT, seed=3)
A, B, DY = _whole(R, N_IN, seed=4), _whole(N_OUT, R, seed=5), _whole(T, N_OUT, seed=6)


def _linear(*, bias: Array | None = BIAS, has_adapter: bool = True, dropout: float = 0.5) -> Linear:
    adapter = LowRank("a", "b", A, B, 0.25, dropout) if has_adapter else None
    return Linear(products.pack(W, layout="kn"), bias, adapter)


def _dropped(noise: Noise) -> Array:
    return noise.drop_input(X, 0.5, SEGMENTS, "a")


def _gradients() -> list[dict[str, Array]]:
    return [{"a": np.full(A.shape, np.nan, np.float32), "b": np.full(B.shape, np.nan, np.float32)} for _ in SEGMENTS]


@pytest.mark.parametrize("bias", [None, BIAS])
def test_without_an_adapter(bias: Array | None) -> None:
    layer = _linear(bias=bias, has_adapter=False)
    y, kept = layer.forward(X, SEGMENTS, ON)
    assert kept is None
    assert np.array_equal(y, X @ W + (0 if bias is None else bias))
    assert np.array_equal(layer.backward(DY, None, SEGMENTS, ON, [{}, {}]), DY @ W.T)


@pytest.mark.parametrize("noise", [OFF, ON])
def test_forward_and_backward_are_loras_algebra(noise: Noise) -> None:
    layer, gradients = _linear(), _gradients()
    y, kept = layer.forward(X, SEGMENTS, noise)
    assert kept is not None
    assert np.array_equal(y, X @ W + BIAS + 0.25 * _dropped(noise) @ A.T @ B.T)
    dx = layer.backward(DY, kept, SEGMENTS, noise, gradients)
    branch = noise.drop_gradient(0.25 * DY @ B @ A, 0.5, SEGMENTS, "a")
    assert np.array_equal(dx, DY @ W.T + branch)
    for segment, gradient in zip(SEGMENTS, gradients, strict=True):
        rows = segment.rows
        assert np.array_equal(gradient["a"], (0.25 * DY @ B)[rows].T @ _dropped(noise)[rows])
        assert np.array_equal(gradient["b"], DY[rows].T @ (0.25 * _dropped(noise) @ A.T)[rows])


def test_the_mask_reaches_the_branch_alone() -> None:
    y_on, y_off = (_linear().forward(X, SEGMENTS, noise)[0] for noise in (ON, OFF))
    assert not np.array_equal(y_on, y_off)
    plain = _linear(has_adapter=False)
    assert np.array_equal(plain.forward(X, SEGMENTS, ON)[0], plain.forward(X, SEGMENTS, OFF)[0])


@pytest.mark.parametrize("noise", [OFF, ON])
def test_a_gradient_is_added_onto_another(noise: Noise) -> None:
    layer, gradients = _linear(), _gradients()
    _, kept = layer.forward(X, SEGMENTS, noise)
    alone = layer.backward(DY, kept, SEGMENTS, noise, gradients)
    onto = np.full((T, N_IN), 100, dtype=np.float32)
    assert layer.backward(DY, kept, SEGMENTS, noise, gradients, onto=onto) is onto
    assert np.array_equal(onto, alone + 100)


def test_the_adapters_gradient_alone_is_the_same() -> None:
    layer, whole, alone = _linear(), _gradients(), _gradients()
    _, kept = layer.forward(X, SEGMENTS, ON)
    assert isinstance(kept, LinearInput)
    layer.backward(DY, kept, SEGMENTS, ON, whole)
    layer.adapter_backward(DY, kept, SEGMENTS, ON, alone)
    for one, other in zip(whole, alone, strict=True):
        assert all(one[name].tobytes() == other[name].tobytes() for name in ("a", "b"))


def test_a_later_piece_of_a_sample_is_added() -> None:
    """Whole numbers: another order of sums has the same bits, and what is lost or counted twice shows."""
    layer, whole, pieced = _linear(), _gradients(), _gradients()
    _, kept = layer.forward(X, SEGMENTS, ON)
    layer.backward(DY, kept, SEGMENTS, ON, whole)
    pieces = (Segment(0, 3, 8), Segment(3, 4, 8, 3), Segment(4, 6, 2))
    y, kept = layer.forward(X, pieces, ON)
    assert y.tobytes() == layer.forward(X, SEGMENTS, ON)[0].tobytes()
    layer.backward(DY, kept, pieces, ON, [pieced[0], pieced[0], pieced[1]])
    for one, other in zip(whole, pieced, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in ("a", "b"))


def test_a_gradient_for_each_sample_is_demanded() -> None:
    layer = _linear()
    _, kept = layer.forward(X, SEGMENTS, OFF)
    with pytest.raises(ValueError, match="shorter"):
        layer.backward(DY, kept, SEGMENTS, OFF, _gradients()[:1])
