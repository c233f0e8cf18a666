"""N-12: what stands beside a row reaches none of its bits, and a zero is not nothing."""

from __future__ import annotations

import numpy as np
import pytest

from samebits.numerics import norms, products
from samebits.numerics.arrays import F32
from samebits.numerics.attention import Sight, attention
from samebits.numerics.dropout import dropout
from samebits.numerics.library import Library
from samebits.numerics.random import Purpose, Stream

TINY = 2.0**-100


def numbers(*shape: int) -> F32:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def bits(array: F32) -> list[int]:
    found: list[int] = array.view(np.uint32).ravel().tolist()
    return found


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        # The product vanishes below zero: -0 is what is left of it.
        ([-TINY], [TINY], 0x80000000),
        # A padded term of 0 * 1 makes +0 of it: so it must be skipped, not added.
        ([-TINY, 0], [TINY, 1], 0),
    ],
)
def test_adding_a_zero_is_not_nothing(native: Library, a: list[float], b: list[float], expected: int) -> None:
    product = products.mm(np.array([a], dtype=np.float32), np.array([b], dtype=np.float32).T)
    assert bits(product) == [expected]


@pytest.mark.parametrize("rows", [slice(0, 1), slice(3, 4), slice(2, 9), slice(0, 40)])
def test_rows_are_the_same_alone_and_among_others(native: Library, rows: slice) -> None:
    x, weight = numbers(40, 70), products.pack(numbers(50, 70), layout="nk")
    gain = numbers(70)
    for whole, part in (
        (products.linear(x, weight), products.linear(x[rows], weight)),
        (norms.layer_norm(x, gain, eps=0.5)[0], norms.layer_norm(x[rows], gain, eps=0.5)[0]),
        (norms.rms_norm(x, gain, eps=0.5)[0], norms.rms_norm(x[rows], gain, eps=0.5)[0]),
    ):
        assert bits(whole[rows]) == bits(part)


@pytest.mark.parametrize("window", [None, 5])
def test_a_step_of_decoding_has_the_bits_of_the_whole(native: Library, window: int | None) -> None:
    q, k, v = (numbers(70, 2, 24) + offset for offset in (0, 1, 2))
    whole = attention(q, k, v, Sight(0.25, window=window))
    for position in (0, 1, 5, 63, 64, 69):
        step = slice(position, position + 1)
        seen = slice(0, position + 1)
        alone = attention(q[step], k[seen], v[seen], Sight(0.25, window=window, first=position))
        assert bits(alone) == bits(whole[step])


def test_a_mask_counts_the_samples_own_positions(native: Library) -> None:
    x, stream = numbers(30, 17), Stream(7, Purpose.DROPOUT, step=3, sample=11, tensor=2)
    whole = dropout(x, 0.3, stream)
    assert bits(dropout(x[4:9], 0.3, stream, first=4 * 17)) == bits(whole[4:9])
