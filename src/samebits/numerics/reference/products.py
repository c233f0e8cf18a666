"""Matrix products (N-04, N-05). A packed weight is its own [K, N] elements, row after row, a word each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from samebits.numerics.oracle import products, products_bf16
from samebits.numerics.oracle.conversions import f32_to_bf16
from samebits.numerics.reference.memory import HALF, WORD, Axis, memory, optional_words, put, rows_of

Words = list[list[int]]


def mm(
    m: int,
    n: int,
    k: int,
    a: int,
    a_row: int,
    a_k: int,
    b: int,
    b_k: int,
    b_n: int,
    c: int,
    c_row: int,
    c_n: int,
    bias: int | None,
    accumulate: int,
    _: int,
) -> int:
    """Write a times b, plus the bias, or add it."""
    left, right = memory(a, (m, a_row), (k, a_k)).tolist(), memory(b, (k, b_k), (n, b_n)).tolist()
    _finish(products.mm, left, right, (c, (m, c_row), (n, c_n)), bias, accumulate)
    return 0


def mm_packed(
    m: int,
    n: int,
    k: int,
    a: int,
    a_row: int,
    a_k: int,
    packed: int,
    c: int,
    c_row: int,
    c_n: int,
    bias: int | None,
    accumulate: int,
    n_threads: int,
) -> int:
    """Write a times the packed weight, plus the bias, or add it."""
    return mm(m, n, k, a, a_row, a_k, packed, n, 1, c, c_row, c_n, bias, accumulate, n_threads)


def mm_packed_transposed(
    m: int,
    n: int,
    k: int,
    a: int,
    a_row: int,
    a_k: int,
    packed: int,
    c: int,
    c_row: int,
    c_n: int,
    accumulate: int,
    n_threads: int,
) -> int:
    """Write a times the packed weight's transpose, or add it: `n` counts the weight's rows, `k` its columns."""
    return mm(m, n, k, a, a_row, a_k, packed, 1, k, c, c_row, c_n, None, accumulate, n_threads)


def pack(n: int, k: int, b: int, b_k: int, b_n: int, out: int, _: int) -> int:
    """Copy a weight."""
    put(rows_of(out, k, n, n), memory(b, (k, b_k), (n, b_n)).tolist())
    return 0


def packed_size(n: int, k: int) -> int:
    """Return how many words a packed weight takes."""
    return n * k


def linear_bf16(
    m: int,
    n: int,
    k: int,
    a: int,
    a_is_f32: int,
    a_row: int,
    a_k: int,
    packed: int,
    c: int,
    c_row: int,
    c_n: int,
    bias: int | None,
    accumulate: int,
    _: int,
) -> int:
    """Write a times the packed weight, plus the bias, or add it."""
    left, right = _halves(a, a_is_f32, (m, a_row), (k, a_k)), rows_of(packed, k, n, n).tolist()
    _finish(products_bf16.linear_bf16, left, right, (c, (m, c_row), (n, c_n)), bias, accumulate)
    return 0


def linear_backward_bf16(
    m: int,
    n: int,
    k: int,
    a: int,
    a_is_f32: int,
    a_row: int,
    a_k: int,
    packed: int,
    c: int,
    c_row: int,
    c_n: int,
    accumulate: int,
    _: int,
) -> int:
    """Write a times the packed weight's transpose, or add it: `n` counts the weight's rows, `k` its columns."""
    left, right = _halves(a, a_is_f32, (m, a_row), (k, a_k)), memory(packed, (k, 1), (n, k)).tolist()
    _finish(products_bf16.linear_bf16, left, right, (c, (m, c_row), (n, c_n)), None, accumulate)
    return 0


def pack_bf16(n: int, k: int, b: int, b_is_f32: int, b_k: int, b_n: int, out: int, _: int) -> int:
    """Copy a weight, rounded where it is float32."""
    put(rows_of(out, k, n, n), _halves(b, b_is_f32, (k, b_k), (n, b_n)))
    return 0


def _halves(address: int, is_f32: int, *axes: Axis) -> Words:
    """Return an operand's patterns of bfloat16."""
    words: Words = memory(address, *axes, dtype=WORD if is_f32 else HALF).tolist()
    return [[f32_to_bf16(word) for word in row] for row in words] if is_f32 else words


def _finish(
    product: Callable[..., Words], left: Words, right: Words, place: Any, bias: int | None, accumulate: int
) -> None:
    out = memory(*place)
    n = out.shape[1]
    put(out, product(left, right, n=n, bias=optional_words(bias, n), onto=out.tolist() if accumulate else None))


KERNELS: dict[str, Callable[..., int]] = {
    "sb_mm_f32": mm,
    "sb_mm_packed_f32": mm_packed,
    "sb_mm_packed_transposed_f32": mm_packed_transposed,
    "sb_pack_f32": pack,
    "sb_packed_size_f32": packed_size,
    "sb_linear_bf16": linear_bf16,
    "sb_linear_backward_bf16": linear_backward_bf16,
    "sb_pack_bf16": pack_bf16,
    "sb_packed_size_bf16": packed_size,
}
