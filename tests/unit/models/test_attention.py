from __future__ import annotations

from decimal import Decimal, getcontext
from typing import Any

import numpy as np
import pytest

from samebits.models.attention import AttentionShape, KeyValues, attend, attend_backward, inverse_root
from samebits.models.noise import Noise
from samebits.models.pack import Segment

pytestmark = pytest.mark.usefixtures("native_libraries")

Array = np.ndarray[Any, Any]
HEADS, KEY_HEADS, D = 4, 2, 8
OFF, ON = Noise(1), Noise(1, 3)
SEGMENTS = (Segment(0, 9, 5), Segment(9, 14, 2), Segment(14, 15, 0))
SCALE = inverse_root(D)


def _heads(n: int, n_heads: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((n, n_heads, D), dtype=np.float32)


Q, K, V, D_OUT = _heads(15, HEADS, 1), _heads(15, KEY_HEADS, 2), _heads(15, KEY_HEADS, 3), _heads(15, HEADS, 4)


def _both(shape: AttentionShape, noise: Noise, segments: tuple[Segment, ...], rows: slice) -> list[Array]:
    """Return outputs and the three gradients of some rows, laid out as the segments say."""
    kept = attend(shape, Q[rows], K[rows], V[rows], segments, noise)
    gradients = tuple(np.full(array[rows].shape, np.nan, dtype=np.float32) for array in (Q, K, V))
    dq, dk, dv = gradients
    attend_backward(shape, D_OUT[rows].reshape(len(Q[rows]), -1), kept, (dq, dk, dv), segments, noise)
    assert kept.rows.shape == (len(Q[rows]), HEADS * D)
    assert np.shares_memory(kept.rows, kept.out)
    return [kept.out, *gradients]


@pytest.mark.parametrize("noise", [OFF, ON])
@pytest.mark.parametrize("window", [None, 3])
def test_each_sample_sees_itself_alone(noise: Noise, window: int | None) -> None:
    shape = AttentionShape(1, SCALE, window, 0.3)
    together = _both(shape, noise, SEGMENTS, slice(None))
    for segment in SEGMENTS:
        n = segment.stop - segment.start
        alone = _both(shape, noise, (Segment(0, n, segment.sample),), segment.rows)
        for one, other in zip(together, alone, strict=True):
            assert one[segment.rows].tobytes() == other.tobytes()


def test_weights_are_those_of_the_formula() -> None:
    """In float64; a share of 1e-6 is a few roundings."""
    out = attend(AttentionShape(0, SCALE, 3, 0.0), Q, K, V, SEGMENTS[:1], OFF).out[:9]
    for head in range(HEADS):
        scores = Q[:9, head].astype(np.float64) @ K[:9, head // 2].T.astype(np.float64) * SCALE
        age = np.arange(9)[:, None] - np.arange(9)[None]
        scores[(age < 0) | (age >= 3)] = -np.inf
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        expected = weights / weights.sum(axis=1, keepdims=True) @ V[:9, head // 2]
        assert np.abs(out[:, head] - expected).max() < 1e-6


def test_dropout_is_of_the_sample_the_step_and_the_layer() -> None:
    shape = AttentionShape(1, SCALE, None, 0.5)
    rows, segment = slice(0, 9), (Segment(0, 9, 5),)
    same = _both(shape, ON, segment, rows)
    assert [array.tobytes() for array in _both(shape, ON, segment, rows)] == [array.tobytes() for array in same]
    others = [
        _both(shape, ON, (Segment(0, 9, 6),), rows),
        _both(shape, Noise(1, 4), segment, rows),
        _both(shape, Noise(2, 3), segment, rows),
        _both(AttentionShape(2, SCALE, None, 0.5), ON, segment, rows),
        _both(shape, OFF, segment, rows),
    ]
    for other in others:
        assert all(one.tobytes() != two.tobytes() for one, two in zip(same, other, strict=True))


@pytest.mark.parametrize("window", [None, 1, 3])
def test_kept_keys_and_values_give_the_bits_of_one_pass(window: int | None) -> None:
    shape = AttentionShape(0, SCALE, window, 0.3)
    whole = attend(shape, Q[:9], K[:9], V[:9], SEGMENTS[:1], OFF).out
    cache, parts = KeyValues(9, (KEY_HEADS, D)), []
    for start, stop in ((0, 4), (4, 5), (5, 6), (6, 9)):
        rows = slice(start, stop)
        parts.append(attend(shape, Q[rows], K[rows], V[rows], (Segment(0, stop - start, 0),), OFF, cache).out)
        assert cache.n == stop
    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_a_cache_returns_all_so_far() -> None:
    cache = KeyValues(5, (KEY_HEADS, D))
    cache.extend(K[:2], V[:2])
    keys, values = cache.extend(K[2:5], V[2:5])
    assert keys.tobytes() == K[:5].tobytes()
    assert values.tobytes() == V[:5].tobytes()


def test_one_over_the_root_is_rounded_once() -> None:
    getcontext().prec = 60
    for n in (1, 2, 3, 4, 5, 7, 16, 64, 80, 96, 100, 128, 256):
        exact, found = 1 / Decimal(n).sqrt(), np.float32(inverse_root(n))
        neighbours = [np.nextafter(found, np.float32(side)) for side in (0, 9)]
        assert all(abs(Decimal(float(found)) - exact) <= abs(Decimal(float(other)) - exact) for other in neighbours)
    assert (inverse_root(16), inverse_root(64)) == (0.25, 0.125)
