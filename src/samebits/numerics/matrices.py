"""What matrix products demand of their operands, bias and output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from samebits.errors import NumericsError
from samebits.numerics.arrays import (
    C_CONTIGUOUS,
    F32,
    FLOAT32,
    Numbers,
    check_apart,
    check_dtype,
    check_f32,
    check_shape,
    check_writable,
    pointer,
    shape_text,
    whole_address,
    whole_stride,
)

Dtypes = tuple[np.dtype[Any], ...]
# Where a matrix lies, and the distances between its rows and between its columns in elements.
Strided = tuple[int, int, int]


def matrix(name: str, array: Any, *, where: str) -> Strided:
    """Return how a float32 matrix lies."""
    check_f32(name, array, n_dims=2, where=where)
    return pointer(array), *strides(name, array, where=where)


def left_operand(name: str, x: Any, shape: tuple[str, str], width: int, *, dtypes: Dtypes, where: str) -> Strided:
    """Return how a left operand of `width` columns lies, whose shape errors write in two letters."""
    check_dtype(name, x, dtypes, n_dims=2, where=where)
    if x.shape[1] != width:
        rows, columns = shape
        must = f"`{name}` must be [{rows}, {columns}] = [{rows}, {width}]"
        raise NumericsError(must, got=shape_text(x.shape), where=where)
    return pointer(x), *strides(name, x, where=where)


def right_operand(weight: Any, layout: str, *, dtypes: Dtypes, where: str) -> tuple[int, int, Strided]:
    """Return K, N and how [K, N] lies in a weight that is kept as [N, K] ("nk") or [K, N] ("kn")."""
    if layout not in ("nk", "kn"):
        raise NumericsError('`layout` must be "nk" or "kn"', got=repr(layout), where=where)
    check_dtype("weight", weight, dtypes, n_dims=2, where=where)
    kn = weight.T if layout == "nk" else weight
    k, n = kn.shape
    return k, n, (pointer(kn), *strides("weight", kn, where=where))


def bias_pointer(bias: F32 | None, n: int, *, where: str) -> int | None:
    """Return where a bias of n lies; None where there is none."""
    return None if bias is None else whole_address("bias", bias, (n,), n_dims=1, where=where)


def output(
    out: F32 | None, shape: tuple[int, int], *, accumulate: bool, operands: Mapping[str, Numbers], where: str
) -> tuple[F32, Strided]:
    """Return the matrix that is written and how it lies.

    Args:
        out: the caller's, or None for a new one.
        accumulate: `out` is added to, and must be given.
        operands: what `out` must share no memory with.
    """
    if out is None:
        if accumulate:
            raise NumericsError("`out` must be given to accumulate into", where=where)
        out = np.empty(shape, dtype=FLOAT32)
        return out, (pointer(out), shape[1], 1)
    strided = matrix("out", out, where=where)
    check_shape("out", out, shape, where=where)
    check_writable("out", out, where=where)
    for name, operand in operands.items():
        check_apart("out", out, name, operand, where=where)
    return out, strided


def strides(name: str, array: Numbers, *, where: str) -> tuple[int, int]:
    """Return row and column strides in elements, one of them 1; a dimension of one element takes what suits."""
    rows, columns = array.shape
    if array.flags.num & C_CONTIGUOUS:
        return columns, 1
    row_bytes, column_bytes = array.strides
    item_bytes = array.itemsize
    if columns <= 1 or column_bytes == item_bytes:
        return columns if rows <= 1 else whole_stride(name, row_bytes, item_bytes, where=where), 1
    if rows <= 1 or row_bytes == item_bytes:
        return 1, whole_stride(name, column_bytes, item_bytes, where=where)
    raise NumericsError(f"a stride of `{name}` must be one element", got=f"strides {array.strides}", where=where)
