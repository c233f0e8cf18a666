"""Canaries of attention: grouped heads, a window, dropped weights, many keys; and none of these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from samebits.numerics.arrays import F32
from samebits.numerics.attention import Sight, attention, attention_backward
from samebits.numerics.canaries.canary import Canary, pattern
from samebits.numerics.oracle import attention as oracle
from samebits.numerics.oracle.binary32 import ONE
from samebits.numerics.oracle.random import Fields, word
from samebits.numerics.random import Purpose, Stream

N_QUERIES, N_KEYS, N_HEADS, N_KV_HEADS, D = 18, 79, 3, 1, 20
FIRST, WINDOW = 60, 66
SCALE, SCALE_BITS = 0.28125, 0x3E900000
# A quarter is dropped; 4/3 as a float32.
DROPOUT, THRESHOLD, KEEP_BITS = 0.25, 1 << 30, 0x3FAAAAAB
FIELDS = Fields(seed=2**33 + 5, purpose=2, step=3, sample=11, tensor=1)
STREAM = Stream(FIELDS.seed, Purpose.ATTENTION_DROPOUT, FIELDS.step, FIELDS.sample, FIELDS.tensor)
DROPPED = Sight(SCALE, window=WINDOW, first=FIRST, dropout=DROPOUT, stream=STREAM)
PLAIN = Sight(SCALE, causal=False)
# The last query alone, of two heads whose width is whole vectors: kernels may read what it sees where it lies.
LAST = Sight(SCALE, first=N_KEYS - 1)
LAST_HEADS, LAST_D = 2, 16
LEAST_NEGATIVE_BITS = 0x80000001


def _operands() -> tuple[F32, F32, F32]:
    """Return operands among which some outputs are -0 and stay so only where what is masked is skipped."""
    q = pattern(60, N_QUERIES, N_HEADS, D, low=121, high=128)
    k = pattern(61, N_KEYS, N_KV_HEADS, D, low=121, high=128)
    v = pattern(62, N_KEYS, N_KV_HEADS, D, low=110, high=129)
    # The first queries' first outputs vanish below zero at key 1 and stay -0; the next keys' would make them +0.
    v[:, :, 0], v[FIRST + 9 :, :, 0] = -0.0, 1.0
    # By its bits: a caller's state may flush what is converted.
    v.view(np.uint32)[1, :, 0] = LEAST_NEGATIVE_BITS
    return q, k, v


def _backward_operands() -> tuple[F32, F32, F32, F32]:
    return *_operands(), pattern(63, N_QUERIES, N_HEADS, D, low=118, high=127)


def _seen(n: int, sight: Sight) -> slice:
    """Return the queries of a sight: it takes few, where it sees all keys."""
    return slice(0, n) if sight.causal else slice(0, n // 4)


def _forward(q: F32, k: F32, v: F32) -> F32:
    parts: list[F32] = []
    for sight in (DROPPED, PLAIN):
        some = q[_seen(N_QUERIES, sight)]
        statistics = np.empty((2, N_HEADS, len(some)), dtype=np.float32)
        parts += [attention(some, k, v, sight, statistics=statistics), statistics]
    last = (q[-1:, :LAST_HEADS, :LAST_D], k[..., :LAST_D], v[..., :LAST_D])
    return _joined([*parts, attention(*last, LAST)])


def _backward(q: F32, k: F32, v: F32, dout: F32) -> F32:
    parts: list[F32] = []
    for sight in (DROPPED, PLAIN):
        rows = _seen(N_QUERIES, sight)
        statistics = np.empty((2, N_HEADS, len(q[rows])), dtype=np.float32)
        out = attention(q[rows], k, v, sight, statistics=statistics)
        parts += attention_backward(dout[rows], q[rows], k, v, out, statistics, sight)
    return _joined(parts)


def _joined(parts: list[F32]) -> F32:
    return np.concatenate([part.ravel() for part in parts])


def _kept(head: int, i: int, j: int) -> bool:
    return word(FIELDS, (head * 2**16 + i) * 2**16 + j) >= THRESHOLD


def _oracles(q: Any, k: Any, v: Any) -> list[oracle.Attention]:
    dropped = oracle.Attention(q, k, v, SCALE_BITS, True, WINDOW, FIRST, _kept, KEEP_BITS)
    return [
        dropped,
        replace(dropped, q=q[: len(q) // 4], causal=False, window=None, first=0, kept=None, keep_scale=ONE),
    ]


def _forward_answer(q: Any, k: Any, v: Any) -> list[int]:
    parts = [part for one in _oracles(q, k, v) for part in (one.forward(), one.statistics())]
    q, k, v = ([[head[:LAST_D] for head in row[:LAST_HEADS]] for row in operand] for operand in (q[-1:], k, v))
    return _flat([*parts, oracle.Attention(q, k, v, SCALE_BITS, first=N_KEYS - 1).forward()])


def _backward_answer(q: Any, k: Any, v: Any, dout: Any) -> list[int]:
    return _flat([oracle.backward(one, dout[: len(one.q)]) for one in _oracles(q, k, v)])


def _flat(nested: Any) -> list[int]:
    return [nested] if isinstance(nested, int) else [word for part in nested for word in _flat(part)]


def _canary(name: str, operands: Callable[[], Any], run: Callable[..., F32], answer: Any, sha256: str) -> Canary:
    return Canary("N-16", name, operands, run, answer, sha256)


CANARIES = (
    _canary(
        "attention",
        _operands,
        _forward,
        _forward_answer,
        "bb32789834041027eff3b1feb5841144dfdf21812003377de32cec25fab23dde",
    ),
    _canary(
        "attention_backward",
        _backward_operands,
        _backward,
        _backward_answer,
        "b525f21e61c40a4d63f12c40a92554615bd3de3418bcf6082050f6f4e752c07d",
    ),
)
