"""N-17: where several terms meet, by hand: 2^24 + 1 is lost, and 2^24 + 2 is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from samebits.data.dataset import TokenSample
from samebits.models.decoder import Head
from samebits.models.linear import Linear, LowRank
from samebits.models.noise import Noise
from samebits.models.pack import Segment, pack_samples
from samebits.numerics import products
from samebits.numerics.library import Library

BIG = 2.0**24
ONE = np.ones((1, 1), dtype=np.float32)
SEGMENTS = (Segment(0, 1, 0),)
OFF = Noise(0)


def linear(weight: float, bias: float | None = None, a: tuple[float, ...] = (), b: tuple[float, ...] = ()) -> Linear:
    """One number in, one out; A [r, 1] and B [1, r] with scale 1."""
    adapter = None
    if a:
        matrices = np.array([a], dtype=np.float32).T.copy(), np.array([b], dtype=np.float32)
        adapter = LowRank("a", "b", *matrices, 1.0, 0.0)
    packed = products.pack(np.full((1, 1), weight, dtype=np.float32), layout="kn")
    return Linear(packed, None if bias is None else np.array([bias], dtype=np.float32), adapter)


def input_gradient(*layers: Linear) -> float:
    """Return the gradient of an input that all layers read in turn, for an output's gradient of 1 each."""
    onto: Any = None
    for layer in layers:
        _, kept = layer.forward(ONE, SEGMENTS, OFF)
        rank = 0 if layer.adapter is None else len(layer.adapter.a)
        gradient = {"a": np.empty((rank, 1), np.float32), "b": np.empty((1, rank), np.float32)}
        onto = layer.backward(ONE, kept, SEGMENTS, OFF, [gradient], onto=onto)
    return float(onto[0, 0])


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        # Bias first, then the low-rank part: each 1 is lost. Together they would be 2.
        ((BIG, 1, (1,), (1,)), BIG),
        ((1, 1, (1,), (BIG,)), BIG + 2),
        # The low-rank product is finished before it is added: 1 + 1, not one after the other.
        ((BIG, None, (1, 1), (1, 1)), BIG + 2),
        ((BIG, 1, (1, 1), (1, 1)), BIG + 2),
        # 2^24 + 1 is lost within the product, and its sum with -2^24 is 0.
        ((-BIG, None, (1, 1), (BIG, 1)), 0),
    ],
)
def test_a_linear_layer_with_lora(native: Library, terms: tuple[Any, ...], expected: float) -> None:
    assert linear(*terms).forward(ONE, SEGMENTS, OFF)[0].tolist() == [[expected]]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (((BIG, None, (1, 1), (1, 1)),), BIG + 2),
        (((-BIG, None, (BIG, 1), (1, 1)),), 0),
        # One after the other: the second layer's terms are not summed by themselves.
        (((BIG,), (1, None, (1,), (1,))), BIG),
        (((1, None, (1,), (1,)), (BIG,)), BIG + 2),
        (((BIG,), (1,), (1,)), BIG),
        (((1,), (1,), (BIG,)), BIG + 2),
        # Its frozen part before its low-rank part.
        (((BIG,), (1, None, (1,), (-BIG,))), 0),
        (((BIG,), (-BIG, None, (1,), (1,))), 1),
    ],
)
def test_an_inputs_gradient(native: Library, layers: tuple[Any, ...], expected: float) -> None:
    assert input_gradient(*(linear(*terms) for terms in layers)) == expected


def test_the_adapters_gradients_are_chains_over_positions(native: Library) -> None:
    """Of 2^24, 1, 1 and -2^24 in this order nothing is left; in another order there would be 1 or 2."""
    rows = np.array([[BIG], [1], [1], [-BIG]], dtype=np.float32)
    ones = np.ones((4, 1), dtype=np.float32)
    layer, segments = linear(0, None, (1,), (1,)), (Segment(0, 4, 0),)
    for x, dy, name in ((rows, ones, "a"), (rows, ones, "b"), (ones, rows, "a"), (ones, rows, "b")):
        _, kept = layer.forward(x, segments, OFF)
        gradient = {"a": np.empty((1, 1), np.float32), "b": np.empty((1, 1), np.float32)}
        layer.backward(dy, kept, segments, OFF, [gradient])
        assert gradient[name].tolist() == [[0]]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        # Each 1 is lost beside 2^24 in its own block; two of them in the next block are added first, and 2 is not lost.
        ((0, 1, 127), BIG),
        ((0, 127, 128), BIG),
        ((0, 128, 129), BIG + 2),
        ((0, 128, 256), BIG),
        ((0, 256, 257), BIG + 2),
        ((1, 129, 255), BIG + 2),
    ],
)
@pytest.mark.parametrize("n_before", [0, 1, 100, 300])
def test_a_heads_gradients_are_chains_over_128_targets_of_a_sample(
    native: Library, places: tuple[int, ...], expected: float, n_before: int
) -> None:
    """Two tokens with logits of 0: the gradient of the one that is not asked for is 1/2. Another sample lies before."""
    lengths = [n for n in (n_before, 300) if n]
    pack = pack_samples(
        [TokenSample(n, 1, "text", (0,) * (n + 1), (False, *[True] * n)) for n in lengths],
    )
    x = np.zeros((sum(lengths), 1), dtype=np.float32)
    for place, value in zip(places, (2 * BIG, 2, 2), strict=True):
        x[n_before + place] = value
    zeros, ones = np.zeros((2, 1), dtype=np.float32), np.ones((1, 1), dtype=np.float32)
    head = Head(products.pack(zeros, layout="nk"), LowRank("a", "b", ones, zeros, 1.0, 0.0))
    gradients = [{"a": np.empty((1, 1), np.float32), "b": np.empty((2, 1), np.float32)} for _ in lengths]
    head.losses_and_gradient(x, pack, OFF, gradients, needs_dx=False)
    assert gradients[-1]["b"].tolist() == [[-expected], [expected]]
