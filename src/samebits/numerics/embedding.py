"""Embedding (N-20): rows of a table by token, and the table's gradient with one order of sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.arrays import (
    F32,
    check_apart,
    check_f32,
    check_shape,
    check_writable,
    pointer,
    row_stride,
    shape_text,
)
from samebits.numerics.observation import observed

Ids = np.ndarray[Any, np.dtype[np.int64]]


@observed()
def embedding(table: F32, ids: Ids, *, out: F32 | None = None) -> F32:
    """Return the table's row of each token.

    Bits: N-20 (a copy).

    Args:
        table: [V, D] float32, rows contiguous and any distance apart; not modified.
        ids: [n] int64, contiguous, each from 0 to V - 1.
        out: [n, D] float32, likewise; written.
    Returns:
        `out`, or [n, D] newly allocated.
    Raises:
        NumericsError: dtype, shape, strides or an id do not fit, or `out` overlaps the table.
    """
    where = "embedding, N-20"
    check_f32("table", table, n_dims=2, where=where)
    _check_ids(ids, table.shape[0], where)
    shape = (len(ids), table.shape[1])
    if out is None:
        out = np.empty(shape, dtype=np.float32)
    _check_output("out", out, shape, where)
    check_apart("out", out, "table", table, where=where)
    rows = (pointer(table), row_stride("table", table, where=where), pointer(out), row_stride("out", out, where=where))
    library.loaded().call("sb_embedding_f32", *shape, _address(ids), *rows, library.threads())
    return out


@observed()
def embedding_backward(dout: F32, ids: Ids, out: F32, *, accumulate: bool = False) -> F32:
    """Return the gradient of a table: each row's tokens added in the order of their positions.

    Bits: N-20.

    Args:
        dout: [n, D] float32, gradient of `embedding`'s rows; rows contiguous and any distance apart; not modified.
        ids: [n] int64, contiguous, each from 0 to V - 1.
        out: [V, D] float32, likewise; written, and with `accumulate` read: a tied head's gradient goes first.
        accumulate: add to what `out` holds.
    Returns:
        `out`.
    Raises:
        NumericsError: dtype, shape, strides or an id do not fit, or `out` overlaps `dout`.
    """
    where = "embedding_backward, N-20"
    check_f32("dout", dout, n_dims=2, where=where)
    check_f32("out", out, n_dims=2, where=where)
    _check_ids(ids, out.shape[0], where)
    check_shape("dout", dout, (len(ids), out.shape[1]), where=where)
    _check_output("out", out, out.shape, where)
    check_apart("out", out, "dout", dout, where=where)
    rows = (pointer(dout), row_stride("dout", dout, where=where), pointer(out), row_stride("out", out, where=where))
    if not accumulate:
        out[...] = 0.0
    library.loaded().call("sb_embedding_backward_f32", *dout.shape, _address(ids), *rows, library.threads())
    return out


def _check_ids(ids: Ids, n_rows: int, where: str) -> None:
    given: Any = ids
    if not isinstance(given, np.ndarray) or given.dtype != np.int64 or given.ndim != 1 or not given.flags.c_contiguous:
        got = f"{given.dtype} {shape_text(given.shape)}" if isinstance(given, np.ndarray) else type(given).__name__
        raise NumericsError("`ids` must be a contiguous int64 array of one dimension", got=got, where=where)
    # As unsigned numbers the negative ones are large: one look at all.
    if ids.size and ids.view(np.uint64).max() >= n_rows:
        got = f"{ids.min()} to {ids.max()}"
        raise NumericsError(f"`ids` must be from 0 to {n_rows - 1}", got=got, where=where)


def _check_output(name: str, out: F32, shape: tuple[int, ...], where: str) -> None:
    check_f32(name, out, n_dims=2, where=where)
    check_shape(name, out, shape, where=where)
    check_writable(name, out, where=where)


def _address(ids: Ids) -> int:
    address: int = ids.__array_interface__["data"][0]
    return address
