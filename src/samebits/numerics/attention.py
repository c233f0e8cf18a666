"""Attention (N-16) of one sample: causal or not, sliding windows, grouped queries, dropout of weights.

Scores are never kept: the forward pass leaves each row's maximum and sum, from which the backward pass makes them anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.arrays import (
    F32,
    check_apart,
    check_contiguous,
    check_f32,
    check_shape,
    check_writable,
    heads,
    pointer,
)
from samebits.numerics.dropout import ATTENTION_STRIDE, threshold_and_scale
from samebits.numerics.observation import observed
from samebits.numerics.random import Stream

# Without a window a query sees every key up to its own.
_ALL_BEFORE = 1 << 40
_KEEP_ALL = (None, 0, 1.0)
HEAD_LIMIT = 1024


@dataclass(frozen=True)
class Sight:
    """Which keys a query sees, and how scores become weights.

    Args:
        scale: the factor of every score, a float32 value above 0.
        causal: whether a query sees no key after its own position.
        window: how many keys a query sees at most, its own the last; None: all. Only with `causal`.
        first: the position of the first query, counted from the sample's own first token; keys start at position 0.
        dropout: the probability with which a weight is dropped, below 1.
        stream: the words that say which are (N-21); must be given where `dropout` is not 0.
    """

    scale: float
    causal: bool = True
    window: int | None = None
    first: int = 0
    dropout: float = 0.0
    stream: Stream | None = None


@observed("statistics")
def attention(q: F32, k: F32, v: F32, sight: Sight, *, out: F32 | None = None, statistics: F32 | None = None) -> F32:
    """Return the values that each query sees, weighted by the softmax of their keys' scores.

    Bits: N-16. One query with the keys before it (decoding) gives the bits that all queries at once give it.

    Args:
        q: [n_queries, n_heads, D] float32, heads contiguous, rows and heads any distance apart; not modified.
        k: [n_keys, n_kv_heads, D], likewise; n_heads must be a multiple of n_kv_heads.
        v: like `k`.
        sight: who sees whom.
        out: like `q`; written.
        statistics: [2, n_heads, n_queries] float32, contiguous; the rows' maxima and sums are written there, for
            `attention_backward`.
    Returns:
        `out`, or [n_queries, n_heads, D] newly allocated.
    Raises:
        NumericsError: dtype, shape, strides or `sight` do not fit, or an output overlaps an operand.
    Source: Vaswani et al., arXiv:1706.03762; grouped queries: Ainslie et al., arXiv:2305.13245.
    """
    where = "attention, N-16"
    arguments = _shape(q, k, v, sight, where=where)
    operands = [
        *heads("q", q, where=where),
        *heads("k", k, where=where),
        *heads("v", v, where=where),
        *_dropout(sight, where),
    ]
    if out is None:
        out = np.empty(q.shape, dtype=np.float32)
    else:
        _check_output("out", out, q.shape, {"q": q, "k": k, "v": v}, where)
    kept = None
    if statistics is not None:
        _check_statistics(statistics, q, where)
        check_writable("statistics", statistics, where=where)
        kept = pointer(statistics)
    outputs = (*heads("out", out, where=where), kept, library.threads())
    library.loaded().call("sb_attention_f32", *arguments, *operands, *outputs)
    return out


@observed()
def attention_backward(
    dout: F32,
    q: F32,
    k: F32,
    v: F32,
    out: F32,
    statistics: F32,
    sight: Sight,
    *,
    dq: F32 | None = None,
    dk: F32 | None = None,
    dv: F32 | None = None,
) -> tuple[F32, F32, F32]:
    """Return the gradients of `attention`'s queries, keys and values.

    Bits: N-16.

    Args:
        dout: gradient of `out`, [n_queries, n_heads, D] float32, heads contiguous; not modified.
        q: as given to `attention`, like `k`, `v` and `sight`.
        out: what `attention` returned.
        statistics: what `attention` wrote there.
        dq: like `q`; written; likewise `dk` and `dv`.
    Returns:
        dq, dk and dv, newly allocated where not given.
    Raises:
        NumericsError: dtype, shape, strides or `sight` do not fit, or an output overlaps an operand.
    """
    where = "attention_backward, N-16"
    arguments = _shape(q, k, v, sight, where=where)
    operands = [
        *heads("q", q, where=where),
        *heads("k", k, where=where),
        *heads("v", v, where=where),
        *_dropout(sight, where),
    ]
    for name, array in (("dout", dout), ("out", out)):
        check_f32(name, array, n_dims=3, where=where)
        check_shape(name, array, q.shape, where=where)
    _check_statistics(statistics, q, where)
    read = {"dout": dout, "q": q, "k": k, "v": v, "out": out}
    made: list[F32] = []
    outputs: list[int] = []
    for name, given, like in (("dq", dq, q), ("dk", dk, k), ("dv", dv, v)):
        if given is None:
            gradient = np.empty(like.shape, dtype=np.float32)
        else:
            _check_output(name, given, like.shape, read, where)
            gradient, read = given, read | {name: given}
        made.append(gradient)
        outputs += heads(name, gradient, where=where)
    library.loaded().call(
        "sb_attention_backward_f32",
        *(*arguments, *operands, *heads("out", out, where=where), pointer(statistics)),
        *(*heads("dout", dout, where=where), *outputs, library.threads()),
    )
    return made[0], made[1], made[2]


def _shape(q: F32, k: F32, v: F32, sight: Sight, *, where: str) -> tuple[int | float, ...]:
    """Return sizes, position, window and scale as kernels take them."""
    for name, array in (("q", q), ("k", k), ("v", v)):
        check_f32(name, array, n_dims=3, where=where)
    n_queries, n_heads, d = q.shape
    n_keys, n_kv_heads, _ = k.shape
    if d == 0 or n_heads == 0:
        raise NumericsError("`q` must have heads and each head a width", got=f"{n_heads} of {d}", where=where)
    if k.shape[2] != d or n_kv_heads == 0 or n_heads % n_kv_heads:
        must = f"`k` must be [n_keys, a divisor of {n_heads}, {d}]"
        raise NumericsError(must, got=str(list(k.shape)), where=where)
    check_shape("v", v, k.shape, where=where)
    window = _window(sight, where)
    if sight.first < 0 or n_keys < (sight.first + n_queries if sight.causal else min(n_queries, 1)):
        must = "`k` must hold every query's own position" if sight.causal else "`k` must hold a key"
        got = f"{n_keys} keys for {n_queries} queries from position {sight.first}"
        raise NumericsError(must, got=got, where=where)
    if sight.dropout and (n_heads > HEAD_LIMIT or max(n_keys, sight.first + n_queries) > ATTENTION_STRIDE):
        must = f"with dropout there must be at most {HEAD_LIMIT} heads and {ATTENTION_STRIDE} positions"
        raise NumericsError(must, got=f"{n_heads} heads, {n_keys} keys", where=where)
    return n_queries, n_keys, n_heads, n_kv_heads, d, sight.first, window, sight.scale


def _window(sight: Sight, where: str) -> int:
    scale = float(sight.scale)
    if not 0 < scale < float("inf") or float(np.float32(scale)) != scale:
        raise NumericsError("`scale` must be a float32 value above 0", got=scale.hex(), where=where)
    if sight.window is None:
        return _ALL_BEFORE if sight.causal else 0
    if not sight.causal or sight.window < 1:
        raise NumericsError("`window` must be 1 or more, and causal", got=str(sight.window), where=where)
    return min(sight.window, _ALL_BEFORE)


def _dropout(sight: Sight, where: str) -> tuple[int | None, int, float]:
    """Return address of the stream, threshold and scale."""
    if not sight.dropout:
        return _KEEP_ALL
    threshold, scale = threshold_and_scale(sight.dropout)
    if sight.dropout == 1 or sight.stream is None:
        got = "no stream" if sight.stream is None else "1"
        raise NumericsError("dropout must be below 1 and have a stream", got=got, where=where)
    return sight.stream.address, threshold, scale


def _check_output(name: str, out: F32, shape: tuple[int, ...], read: dict[str, F32], where: str) -> None:
    check_f32(name, out, n_dims=3, where=where)
    check_shape(name, out, shape, where=where)
    check_writable(name, out, where=where)
    for other, operand in read.items():
        check_apart(name, out, other, operand, where=where)


def _check_statistics(statistics: F32, q: F32, where: str) -> None:
    check_f32("statistics", statistics, n_dims=3, where=where)
    check_shape("statistics", statistics, (2, q.shape[1], q.shape[0]), where=where)
    check_contiguous("statistics", statistics, where=where)
