"""Reductions over the last axis (N-07): 64 virtual lanes, a missing element skipped, then a fixed tree."""

from __future__ import annotations

import numpy as np

from samebits.numerics import library
from samebits.numerics.arrays import F32, check_f32, check_shape, pointer, row_stride
from samebits.numerics.observation import observed


@observed()
def sum(x: F32) -> F32:  # noqa: A001 - aten's name
    """Return the sum of each row.

    Bits: N-07.

    Args:
        x: [rows, n] float32, rows contiguous and any distance apart; not modified.
    Returns:
        [rows] float32, newly allocated; the sum of nothing is -0.
    Raises:
        NumericsError: dtype, dimensions or strides do not fit.
    """
    return _reduce("sum", x)


@observed()
def amax(x: F32) -> F32:
    """Return the largest element of each row.

    Bits: N-07.

    Args:
        x: [rows, n] float32, rows contiguous and any distance apart; not modified.
    Returns:
        [rows] float32, newly allocated; the maximum of nothing is -inf.
    Raises:
        NumericsError: dtype, dimensions or strides do not fit.
    """
    return _reduce("amax", x)


@observed()
def dot(x: F32, y: F32) -> F32:
    """Return the inner product of each row of `x` with the same row of `y`.

    Bits: N-07 (each lane takes in a pair by one fma).

    Args:
        x: [rows, n] float32, rows contiguous and any distance apart; not modified.
        y: like `x`.
    Returns:
        [rows] float32, newly allocated; the sum of nothing is -0.
    Raises:
        NumericsError: dtype, shape or strides do not fit.
    """
    check_f32("x", x, n_dims=2, where="dot, N-07")
    check_f32("y", y, n_dims=2, where="dot, N-07")
    check_shape("y", y, x.shape, where="dot, N-07")
    return _reduce("dot", x, y)


def _reduce(name: str, *operands: F32) -> F32:
    where = f"{name}, N-07"
    arguments = []
    for label, operand in zip("xy", operands, strict=False):
        check_f32(label, operand, n_dims=2, where=where)
        arguments += [pointer(operand), row_stride(label, operand, where=where)]
    rows, n = operands[0].shape
    out = np.empty(rows, dtype=np.float32)
    library.loaded().call(f"sb_{name}_f32", rows, n, *arguments, pointer(out), library.threads())
    return out
