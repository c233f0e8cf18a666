"""Attention and its gradients, on the reference and compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from samebits.numerics import library
from samebits.numerics.arrays import F32
from samebits.numerics.attention import Sight, attention, attention_backward
from samebits.numerics.random import Purpose, Stream
from samebits.numerics.reference.library import reference_library

T, HEADS, KEY_HEADS, D = 6, 4, 2, 3
STREAM = Stream(seed=2**40 + 3, purpose=Purpose.ATTENTION_DROPOUT, step=7, sample=9, tensor=2)
SIGHTS = {
    "causal": Sight(0.5),
    "a window": Sight(0.5, window=2),
    "all": Sight(0.5, causal=False),
    "later queries": Sight(0.5, first=2),
    "dropped": Sight(0.5, dropout=0.3, stream=STREAM),
}


@pytest.fixture
def operands() -> list[F32]:
    """q, k, v of one buffer, as GPT-2 makes them, and dout."""
    generator = np.random.default_rng(5)
    qkv = generator.standard_normal((T + 2, HEADS + 2 * KEY_HEADS, D)).astype(np.float32)
    dout = generator.standard_normal((T, HEADS, D)).astype(np.float32)
    return [qkv[:T, :HEADS], qkv[:, HEADS : HEADS + KEY_HEADS], qkv[:, HEADS + KEY_HEADS :], dout]


@pytest.mark.parametrize("name", SIGHTS)
def test_both_directions(same_on_both: Any, operands: list[F32], name: str) -> None:
    q, k, v, dout = operands

    def whole() -> list[F32]:
        statistics = np.empty((2, HEADS, T), dtype=np.float32)
        out = attention(q, k, v, SIGHTS[name], statistics=statistics)
        return [out, statistics, *attention_backward(dout, q, k, v, out, statistics, SIGHTS[name])]

    same_on_both(whole)


def test_no_queries(same_on_both: Any, operands: list[F32]) -> None:
    q, k, v, dout = operands
    sight, statistics = SIGHTS["causal"], np.empty((2, HEADS, 0), dtype=np.float32)
    same_on_both(lambda: attention(q[:0], k, v, sight))
    same_on_both(lambda: attention_backward(dout[:0], q[:0], k, v, q[:0].copy(), statistics, sight))


def test_outputs_that_it_is_given_reach_no_gradient(operands: list[F32]) -> None:
    """They are what the clause says of q, k and v, whoever computed them."""
    q, k, v, dout = operands
    sight, statistics = SIGHTS["causal"], np.zeros((2, HEADS, T), dtype=np.float32)
    with library.using(reference_library()):
        out = attention(q, k, v, sight)
        expected = [x.tobytes() for x in attention_backward(dout, q, k, v, out, statistics, sight)]
        actual = [x.tobytes() for x in attention_backward(dout, q, k, v, np.zeros_like(out), statistics, sight)]
    assert actual == expected
