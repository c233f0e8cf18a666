"""Call kernels that make each output from the inputs at the same place, with checks cheap enough for small arrays."""

from __future__ import annotations

import numpy as np

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.arrays import F32, FLOAT32, READABLE, pointer, whole_address


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
    if type(x) is not np.ndarray or x.dtype is not FLOAT32 or x.flags.num & READABLE != READABLE:
        _check_operands(("x",), (x,), where)
    if out is None:
        out = np.empty(x.shape, dtype=FLOAT32)
        to = pointer(out)
    else:
        to = whole_address("out", out, x.shape, writable=True, where=where)
    start = pointer(x)
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
            or operand.dtype is not FLOAT32
            or operand.flags.num & READABLE != READABLE
            or operand.shape != x.shape
        ):
            _check_operands(labels, (x, y), where)
    if out is None:
        out = np.empty(x.shape, dtype=FLOAT32)
        to = pointer(out)
    else:
        to = whole_address("out", out, x.shape, writable=True, where=where)
    x_start, y_start = pointer(x), pointer(y)
    for start in (x_start, y_start):
        if start != to:
            _check_apart(start, to, out.nbytes, where)
    library.loaded().call(symbol, out.size, x_start, y_start, *scalars, to, library.threads())
    return out


def _check_operands(labels: tuple[str, ...], operands: tuple[F32, ...], where: str) -> None:
    """Say what is wrong; a subclass of ndarray comes by here, too, and passes."""
    shape = getattr(operands[0], "shape", ())
    for label, operand in zip(labels, operands, strict=True):
        whole_address(label, operand, shape, where=where)


def _check_apart(start: int, to: int, n_bytes: int, where: str) -> None:
    if abs(start - to) < n_bytes:
        raise NumericsError("`out` must be an operand or share no memory with one", where=where)
