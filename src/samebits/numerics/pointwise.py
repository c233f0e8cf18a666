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


def call_pointwise(
    kernel: str, where: str, labels: tuple[str, ...], operands: tuple[F32, ...], out: F32 | None, *scalars: float
) -> F32:
    """Call a kernel on operands of one shape and return what it wrote.

    Args:
        kernel: between sb_ and _f32 in the symbol.
        where: operation and clause, for errors.
        labels: the operands' names.
        operands: float32, C-contiguous, of one shape; not modified unless `out` is one of them.
        out: takes the result; None allocates it.
        scalars: between the operands and `out`.
    Returns:
        `out`, or a new array of the operands' shape.
    Raises:
        NumericsError: dtype, shape or strides do not fit, or `out` overlaps an operand that it is not.
    """
    shape = operands[0].shape if type(operands[0]) is np.ndarray else ()
    for operand in operands:
        if not _is_well(operand, _READABLE) or operand.shape != shape:
            _check_operands(labels, operands, where)
            shape = operands[0].shape
    if out is None:
        out = np.empty(shape, dtype=_FLOAT32)
    elif not _is_well(out, _WRITABLE) or out.shape != shape:
        _check_output(out, shape, where)
    starts, to = [pointer_of_contiguous(operand) for operand in operands], pointer_of_contiguous(out)
    for start in starts:
        if start != to and abs(start - to) < out.nbytes:
            raise NumericsError("`out` must be an operand or share no memory with one", where=where)
    library.loaded().call(f"sb_{kernel}_f32", out.size, *starts, *scalars, to, library.threads())
    return out


def float32_value(name: str, scalar: float, where: str) -> float:
    """Return a scalar that is a float32 value; refuse another."""
    if float(np.float32(scalar)) != scalar:
        raise NumericsError(f"`{name}` must be a float32 value", got=float(scalar).hex(), where=where)
    return float(scalar)


def _is_well(array: F32, flags: int) -> bool:
    """Tell whether nothing is wrong but perhaps the shape."""
    return type(array) is np.ndarray and array.dtype is _FLOAT32 and array.flags.num & flags == flags


def _check_operands(labels: tuple[str, ...], operands: tuple[F32, ...], where: str) -> None:
    """Say what is wrong; a subclass of ndarray comes by here, too, and passes."""
    for label, operand in zip(labels, operands, strict=True):
        check_f32(label, operand, n_dims=None, where=where)
        check_shape(label, operand, operands[0].shape, where=where)
        check_contiguous(label, operand, where=where)


def _check_output(out: F32, shape: tuple[int, ...], where: str) -> None:
    check_f32("out", out, n_dims=None, where=where)
    check_shape("out", out, shape, where=where)
    check_contiguous("out", out, where=where)
    check_writable("out", out, where=where)
