"""Attention of one sample (N-16). The backward pass makes outputs and statistics anew: what it is given is not read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from samebits.numerics.oracle.attention import Attention, backward
from samebits.numerics.oracle.random import word
from samebits.numerics.reference.memory import memory, pattern, put, vector
from samebits.numerics.reference.random import fields_at


def attention(*arguments: Any) -> int:
    """Write the outputs, and each row's maximum and sum where they are wanted."""
    *of_operands, out, out_row, out_head, statistics, _ = arguments
    n_queries, _, n_heads, _, d = of_operands[:5]
    if not n_queries:
        return 0
    one = _attention(of_operands)
    put(memory(out, (n_queries, out_row), (n_heads, out_head), (d, 1)), one.forward())
    if statistics is not None:
        put(vector(statistics, 2 * n_heads * n_queries), one.statistics())
    return 0


def attention_backward(*arguments: Any) -> int:
    """Write the gradients of queries, keys and values."""
    of_operands, (_, _, _, _, *places, _) = arguments[:20], arguments[20:]
    n_queries, n_keys, n_heads, n_kv_heads, d = of_operands[:5]
    of_queries, of_keys = (n_queries, n_heads, d), (n_keys, n_kv_heads, d)
    dout, dq, dk, dv = (
        _heads(places[3 * i : 3 * i + 3], shape) for i, shape in enumerate((of_queries, of_queries, of_keys, of_keys))
    )
    if not n_queries:
        dk[...] = dv[...] = 0
        return 0
    gradients = backward(_attention(of_operands), dout.tolist())
    for place, gradient in zip((dq, dk, dv), gradients, strict=True):
        put(place, gradient)
    return 0


def _attention(arguments: Sequence[Any]) -> Attention:
    """Return the problem of the twenty arguments that both directions begin with."""
    n_queries, n_keys, n_heads, n_kv_heads, d, first, window, scale, *places = arguments
    *places, stream, threshold, keep_scale = places
    shapes = ((n_queries, n_heads, d), (n_keys, n_kv_heads, d), (n_keys, n_kv_heads, d))
    q, k, v = (_heads(places[3 * i : 3 * i + 3], shape).tolist() for i, shape in enumerate(shapes))
    return Attention(
        *(q, k, v, pattern(scale)),
        causal=window > 0,
        window=window or None,
        first=first,
        kept=_kept(stream, threshold) if threshold else None,
        keep_scale=pattern(keep_scale),
    )


def _heads(place: Sequence[int], shape: tuple[int, int, int]) -> Any:
    """Return [n, heads, D] of an address and how far rows and heads are apart."""
    address, row, head = place
    n, n_heads, d = shape
    return memory(address, (n, row), (n_heads, head), (d, 1))


def _kept(stream: int, threshold: int) -> Callable[[int, int, int], bool]:
    """Return which weights are kept (N-21): those whose word is not below the threshold."""
    fields = fields_at(stream)

    def kept(head: int, i: int, j: int) -> bool:
        return word(fields, (head * 2**16 + i) * 2**16 + j) >= threshold

    return kept


KERNELS: dict[str, Callable[..., int]] = {
    "sb_attention_f32": attention,
    "sb_attention_backward_f32": attention_backward,
}
