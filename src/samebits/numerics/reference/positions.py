"""Rotary position embedding, and embedding (N-20)."""

from __future__ import annotations

from collections.abc import Callable

from samebits.numerics.oracle import rotary as oracle
from samebits.numerics.reference.memory import INDEX, memory, put, rows_of, vector


def rotary(
    n: int,
    heads: int,
    half: int,
    x: int,
    x_row: int,
    x_head: int,
    cos: int,
    sin: int,
    table_row: int,
    backward: int,
    out: int,
    out_row: int,
    out_head: int,
    _: int,
) -> int:
    """Write each head turned by the angles of its row."""
    cosines, sines = (rows_of(table, n, half, table_row).tolist() for table in (cos, sin))
    inputs = memory(x, (n, x_row), (heads, x_head), (2 * half, 1)).tolist()
    turned = [
        [oracle.rotate(head, *tables, backward=bool(backward)) for head in row]
        for row, *tables in zip(inputs, cosines, sines, strict=True)
    ]
    put(memory(out, (n, out_row), (heads, out_head), (2 * half, 1)), turned)
    return 0


def embedding(n: int, d: int, ids: int, table: int, table_row: int, out: int, out_row: int, _: int) -> int:
    """Copy the table's row of each token."""
    tokens = vector(ids, n, INDEX).tolist()
    held = rows_of(table, max(tokens, default=-1) + 1, d, table_row)
    put(rows_of(out, n, d, out_row), [held[token].tolist() for token in tokens])
    return 0


def embedding_backward(
    n: int, d: int, ids: int, dout: int, dout_row: int, gradient: int, gradient_row: int, _: int
) -> int:
    """Add each row to its token's row of the table's gradient."""
    tokens = vector(ids, n, INDEX).tolist()
    held = rows_of(gradient, max(tokens, default=-1) + 1, d, gradient_row)
    put(held, oracle.embedding_backward(rows_of(dout, n, d, dout_row).tolist(), tokens, held.tolist()))
    return 0


KERNELS: dict[str, Callable[..., int]] = {
    "sb_rotary_f32": rotary,
    "sb_embedding_f32": embedding,
    "sb_embedding_backward_f32": embedding_backward,
}
