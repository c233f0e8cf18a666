"""Call kernels that make each output from the inputs at the same place, with checks cheap enough for small arrays."""

from __future__ import annotations

import numpy as np

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.arrays import (
    F32,
    check_contiguous,
    check_f32,
    check_shape,
    check_writable,
    pointer_of_contiguous,
)

_FLOAT32 = np.dtype(np.float32)
# Bits of `ndarray.flags.num`: C-contiguous, aligned and writeable.
_READABLE = 0x1 | 0x100
_WRITABLE = _READABLE | 0x400


def call_of_x(symbol: str, where: str, x: F32, out: F32 | None, *scalars: float) -> F32:
    """Call a kernel of one operand and return what it wrote.

    Args:
        symbol: in the native library; takes size, x, scalars, out, threads.
        where: operation and clause, for errors.
        x: any shape, float32, C-contiguous; not modified unless `out` is x.
        out: takes the result; None allocates it.
    Returns:
        `out`, or a new array of x's shape.
    Raises:
        NumericsError: dtype, shape or strides do not fit, or `out` overlaps x without being it.
    """
    # Written out rather than shared with the next: a call costs as much as a thousand elements.
    if type(x) is not np.ndarray or x.dtype is not _FLOAT32 or x.flags.num & _READABLE != _READABLE:
        _check_operands(("x",), (x,), where)
    if out is None:
        out = np.empty(x.shape, dtype=_FLOAT32)
    else:
        _check_output(out, x.shape, where)
    start, to = pointer_of_contiguous(x), pointer_of_contiguous(out)
    if start != to:
        _check_apart(start, to, out.nbytes, where)
    library.loaded().call(symbol, out.size, start, *scalars, to, library.threads())
    return out


def call_of_two(
    symbol: str, where: str, labels: tuple[str, str], x: F32, y: F32, out: F32 | None, *scalars: float
) -> F32:
    """Call a kernel of two operands, named by `labels` in errors, of one shape; all else as for one."""
    for operand in (x, y):
        if (
            type(operand) is not np.ndarray
            or operand.dtype is not _FLOAT32
            or operand.flags.num & _READABLE != _READABLE
            or operand.shape != x.shape
        ):
            _check_operands(labels, (x, y), where)
    if out is None:
        out = np.empty(x.shape, dtype=_FLOAT32)
    else:
        _check_output(out, x.shape, where)
    x_start, y_start, to = pointer_of_contiguous(x), pointer_of_contiguous(y), pointer_of_contiguous(out)
    for start in (x_start, y_start):
        if start != to:
            _check_apart(start, to, out.nbytes, where)
    library.loaded().call(symbol, out.size, x_start, y_start, *scalars, to, library.threads())
    return out


def float32_value(name: str, scalar: float, where: str) -> float:
    """Return a scalar that is a float32 value; refuse another."""
    if float(np.float32(scalar)) != scalar:
        raise NumericsError(f"`{name}` must be a float32 value", got=float(scalar).hex(), where=where)
    return float(scalar)


def _check_operands(labels: tuple[str, ...], operands: tuple[F32, ...], where: str) -> None:
    """Say what is wrong; a subclass of ndarray comes by here, too, and passes."""
    for label, operand in zip(labels, operands, strict=True):
        check_f32(label, operand, n_dims=None, where=where)
        check_shape(label, operand, operands[0].shape, where=where)
        check_contiguous(label, operand, where=where)


def _check_output(out: F32, shape: tuple[int, ...], where: str) -> None:
    if (
        type(out) is np.ndarray
        and out.dtype is _FLOAT32
        and out.flags.num & _WRITABLE == _WRITABLE
        and out.shape == shape
    ):
        return
    check_f32("out", out, n_dims=None, where=where)
    check_shape("out", out, shape, where=where)
    check_contiguous("out", out, where=where)
    check_writable("out", out, where=where)


def _check_apart(start: int, to: int, n_bytes: int, where: str) -> None:
    if abs(start - to) < n_bytes:
        raise NumericsError("`out` must be an operand or share no memory with one", where=where)
