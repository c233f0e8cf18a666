"""One correctly rounded operation per element (N-09), and the two ways to multiply and add (N-02).

Operands are float32, C-contiguous and of one shape; `out` may be one of them. A scalar must be a float32 value.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.arrays import F32, check_contiguous, check_f32, check_shape, check_writable, pointer
from samebits.numerics.observation import observed


@observed()
def add(x: F32, y: F32, *, out: F32 | None = None) -> F32:
    """Return x + y (N-09)."""
    return _apply("add", "N-09", (x, y), out=out)


@observed()
def sub(x: F32, y: F32, *, out: F32 | None = None) -> F32:
    """Return x - y (N-09)."""
    return _apply("sub", "N-09", (x, y), out=out)


@observed()
def mul(x: F32, y: F32, *, out: F32 | None = None) -> F32:
    """Return x * y (N-09)."""
    return _apply("mul", "N-09", (x, y), out=out)


@observed()
def div(x: F32, y: F32, *, out: F32 | None = None) -> F32:
    """Return x / y (N-09)."""
    return _apply("div", "N-09", (x, y), out=out)


@observed()
def sqrt(x: F32, *, out: F32 | None = None) -> F32:
    """Return the square root of x (N-09)."""
    return _apply("sqrt", "N-09", (x,), out=out)


@observed()
def scale(x: F32, scalar: float, *, out: F32 | None = None) -> F32:
    """Return scalar * x (N-09)."""
    return _apply("scale", "N-09", (x,), scalar, out=out)


@observed()
def add_scaled(x: F32, y: F32, scalar: float, *, out: F32 | None = None) -> F32:
    """Return x + scalar * y: the product is rounded, then the sum (N-02)."""
    return _apply("add_scaled", "N-02", (x, y), scalar, out=out)


@observed()
def fma(x: F32, y: F32, *, out: F32) -> F32:
    """Put x * y + out, rounded once, into `out` and return it (N-02)."""
    return _apply("fma", "N-02", (x, y), out=out)


def _apply(name: str, clause: str, operands: tuple[F32, ...], scalar: float | None = None, *, out: F32 | None) -> F32:
    where = f"{name}, {clause}"
    first: Any = operands[0]
    shape = first.shape if isinstance(first, np.ndarray) else ()
    if out is None:
        out = np.empty(shape, dtype=np.float32)
    for label, array in zip((*"xy"[: len(operands)], "out"), (*operands, out), strict=True):
        check_f32(label, array, n_dims=None, where=where)
        check_shape(label, array, shape, where=where)
        check_contiguous(label, array, where=where)
    check_writable("out", out, where=where)
    _check_overlap(out, operands, where=where)
    scalars = []
    if scalar is not None:
        if float(np.float32(scalar)) != scalar:
            raise NumericsError("`scalar` must be a float32 value", got=float(scalar).hex(), where=where)
        scalars = [float(scalar)]
    pointers = [pointer(operand) for operand in operands]
    library.loaded().call(f"sb_{name}_f32", out.size, *pointers, *scalars, pointer(out), library.threads())
    return out


def _check_overlap(out: F32, operands: tuple[F32, ...], *, where: str) -> None:
    for operand in operands:
        if pointer(operand) != pointer(out) and np.may_share_memory(operand, out):
            raise NumericsError("`out` must be an operand or share no memory with one", where=where)
