"""Operands that do not fit are refused in one sentence; tests/oracle holds every bit of what fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics.attention import Sight, attention, attention_backward
from samebits.numerics.random import Purpose, Stream

Q = np.ones((3, 4, 8), dtype=np.float32)
K = np.ones((3, 2, 8), dtype=np.float32)
SIGHT = Sight(0.5)
STREAM = Stream(seed=1, purpose=Purpose.ATTENTION_DROPOUT)
STATISTICS = np.empty((2, 4, 3), dtype=np.float32)


def run(**changes: object) -> object:
    return attention(Q, K, K, replace(SIGHT, **changes))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: attention(Q[0], K, K, SIGHT), "`q` must have 3 dimensions, got [4, 8] (attention, N-16)"),
        (lambda: attention(Q, K[:, :, :4], K, SIGHT), "`k` must be [n_keys, a divisor of 4, 8], got [3, 2, 4]"),
        (lambda: attention(Q[:, :3], K, K, SIGHT), "`k` must be [n_keys, a divisor of 3, 8]"),
        (lambda: attention(Q, K, K[:2], SIGHT), "`v` must be [3, 2, 8], got [2, 2, 8]"),
        (lambda: attention(Q[:, :0], K, K, SIGHT), "`q` must have heads and each head a width, got 0 of 8"),
        (lambda: attention(Q.transpose(0, 2, 1), K, K, SIGHT), "`k` must be"),
        (lambda: attention(Q, K[..., ::-1], K, SIGHT), "the heads of `k` must be contiguous"),
        (lambda: attention(Q, K, K, SIGHT, out=Q), "`out` must not share memory with `q`"),
        (lambda: attention(Q, K, K, SIGHT, statistics=STATISTICS[:1]), "`statistics` must be [2, 4, 3]"),
        (lambda: run(first=1), "`k` must hold every query's own position, got 3 keys for 3 queries from position 1"),
        (lambda: run(first=-1), "`k` must hold every query's own position"),
        (lambda: attention(Q, K[:0], K[:0], replace(SIGHT, causal=False)), "`k` must hold a key"),
        (lambda: run(scale=0.1), "`scale` must be a float32 value above 0, got 0x1.999999999999ap-4"),
        (lambda: run(scale=-1.0), "`scale` must be a float32 value above 0"),
        (lambda: run(window=0), "`window` must be 1 or more, and causal, got 0"),
        (lambda: run(window=2, causal=False), "`window` must be 1 or more, and causal, got 2"),
        (lambda: run(dropout=0.1), "dropout must be below 1 and have a stream, got no stream"),
        (lambda: run(dropout=1.0, stream=STREAM), "dropout must be below 1 and have a stream, got 1"),
        (lambda: attention_backward(Q, Q, K, K, Q[:2], STATISTICS, SIGHT), "`out` must be [3, 4, 8], got [2, 4, 8]"),
        (lambda: attention_backward(Q, Q, K, K, Q, STATISTICS, SIGHT, dq=Q), "`dq` must not share memory with `dout`"),
    ],
)
def test_bad_operands_are_refused(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(NumericsError) as refused:
        call()
    assert str(refused.value).startswith(sentence)


def test_outputs_may_not_meet() -> None:
    shared = np.empty_like(K)
    with pytest.raises(NumericsError, match="`dv` must not share memory with `dk`"):
        attention_backward(Q, Q, K, K, Q, STATISTICS, SIGHT, dk=shared, dv=shared)


def test_dropout_counts_positions_within_its_limits() -> None:
    heads = np.ones((1, 1025, 1), dtype=np.float32)
    with pytest.raises(NumericsError, match="at most 1024 heads and 65536 positions, got 1025 heads, 1 keys"):
        attention(heads, heads, heads, replace(SIGHT, dropout=0.1, stream=STREAM))


def test_no_query_gives_no_row_and_gradients_of_zero() -> None:
    none = Q[:0]
    statistics = np.empty((2, 4, 0), dtype=np.float32)
    out = attention(none, K, K, SIGHT, statistics=statistics)
    assert out.shape == (0, 4, 8)
    dq, dk, dv = attention_backward(none, none, K, K, out, statistics, SIGHT)
    assert dq.shape == (0, 4, 8)
    assert not dk.any()
    assert not dv.any()
    assert attention(none, K[:0], K[:0], SIGHT).shape == (0, 4, 8)
