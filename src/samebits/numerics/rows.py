"""What kernels over the rows of a matrix demand of their arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from samebits.errors import NumericsError
from samebits.numerics.arrays import (
    F32,
    FLOAT32,
    check_apart,
    check_f32,
    check_shape,
    check_writable,
    plain_address,
    pointer,
    row_stride,
    shape_text,
    whole_address,
)


def check_rows(name: str, array: F32, *, where: str) -> tuple[int, int]:
    """Refuse what is not [rows, n] with n of at least 1; return both."""
    check_f32(name, array, n_dims=2, where=where)
    rows, n = array.shape
    if n == 0:
        raise NumericsError(f"the rows of `{name}` must not be empty", got=shape_text(array.shape), where=where)
    return rows, n


def operand(name: str, array: F32, shape: tuple[int, int], *, where: str) -> tuple[int, int]:
    """Return pointer and row stride of a matrix that is read."""
    if address := plain_address(array, shape):
        return address, shape[1]
    check_f32(name, array, n_dims=2, where=where)
    check_shape(name, array, shape, where=where)
    return pointer(array), row_stride(name, array, where=where)


def vector(name: str, array: F32, n: int, *, where: str) -> int:
    """Return the pointer of a contiguous vector of n."""
    return whole_address(name, array, (n,), n_dims=1, where=where)


def optional_vector(name: str, array: F32 | None, n: int, *, where: str) -> int | None:
    """Return the pointer of a contiguous vector of n; None where there is none."""
    return None if array is None else whole_address(name, array, (n,), n_dims=1, where=where)


def output(
    out: F32 | None,
    shape: tuple[int, int],
    *,
    over: Mapping[str, F32],
    apart: Mapping[str, F32 | None],
    accumulate: bool = False,
    where: str,
) -> tuple[F32, int, int]:
    """Return the matrix that is written, its pointer and its row stride.

    Args:
        out: the caller's, or None for a new one.
        over: matrices read row by row before the same row is written: `out` may be one of them, unless it accumulates.
        apart: what `out` must share no memory with.
        accumulate: `out` is added to, and must be given.
    """
    if out is None:
        if accumulate:
            raise NumericsError("`out` must be given to accumulate into", where=where)
        out = np.empty(shape, dtype=FLOAT32)
        return out, pointer(out), shape[1]
    address, stride = operand("out", out, shape, where=where)
    check_writable("out", out, where=where)
    for name, array in over.items():
        same = pointer(array) == address and row_stride(name, array, where=where) == stride and not accumulate
        if not same:
            check_apart("out", out, name, array, where=where)
    for name, other in apart.items():
        if other is not None:
            check_apart("out", out, name, other, where=where)
    return out, address, stride


def output_vector(
    name: str, array: F32 | None, n: int, *, apart: Mapping[str, F32], accumulate: bool, where: str
) -> tuple[F32, int]:
    """Return the vector of n that is written, and its pointer."""
    if array is None:
        if accumulate:
            raise NumericsError(f"`{name}` must be given to accumulate into", where=where)
        array = np.empty(n, dtype=FLOAT32)
        return array, pointer(array)
    address = vector(name, array, n, where=where)
    check_writable(name, array, where=where)
    for other_name, other in apart.items():
        check_apart(name, array, other_name, other, where=where)
    return array, address
