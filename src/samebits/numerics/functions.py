"""Functions of float32 arrays, element by element (N-08): activations among them, and their gradients.

Operands are float32, C-contiguous and of one shape; `out` may be one of them. Names and order of arguments are aten's.
"""

from __future__ import annotations

from typing import Literal

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

Approximation = Literal["none", "tanh"]
_FLOAT32 = np.dtype(np.float32)
# Bits of `ndarray.flags.num`: C-contiguous, aligned and writeable.
_READABLE = 0x1 | 0x100
_WRITABLE = _READABLE | 0x400
_LABELS = {1: ("x",), 2: ("grad_output", "x")}


def exp(x: F32, *, out: F32 | None = None) -> F32:
    """Return e to the power of x (N-08)."""
    return _apply("exp", "N-08", (x,), out)


def log(x: F32, *, out: F32 | None = None) -> F32:
    """Return the natural logarithm of x (N-08)."""
    return _apply("log", "N-08", (x,), out)


def sin(x: F32, *, out: F32 | None = None) -> F32:
    """Return the sine of x radians (N-08)."""
    return _apply("sin", "N-08", (x,), out)


def cos(x: F32, *, out: F32 | None = None) -> F32:
    """Return the cosine of x radians (N-08)."""
    return _apply("cos", "N-08", (x,), out)


def tanh(x: F32, *, out: F32 | None = None) -> F32:
    """Return the hyperbolic tangent of x (N-08)."""
    return _apply("tanh", "N-08", (x,), out)


def erf(x: F32, *, out: F32 | None = None) -> F32:
    """Return the error function of x (N-08)."""
    return _apply("erf", "N-08", (x,), out)


def sigmoid(x: F32, *, out: F32 | None = None) -> F32:
    """Return 1 / (1 + e^-x) (N-08)."""
    return _apply("sigmoid", "N-08", (x,), out)


def silu(x: F32, *, out: F32 | None = None) -> F32:
    """Return x / (1 + e^-x) (N-08)."""
    return _apply("silu", "N-08", (x,), out)


def gelu(x: F32, *, approximate: Approximation = "none", out: F32 | None = None) -> F32:
    """Return x times the normal distribution's probability below x, or what tanh approximates it by (N-08)."""
    return _apply(_gelu("gelu", approximate), "N-08", (x,), out)


def relu(x: F32, *, out: F32 | None = None) -> F32:
    """Return x where it is greater than 0, else +0 (N-08)."""
    return _apply("relu", "N-08", (x,), out)


def tanh_backward(grad_output: F32, output: F32, *, out: F32 | None = None) -> F32:
    """Return the gradient at tanh's input from that at its `output` (N-08)."""
    return _apply("tanh_backward", "N-08", (grad_output, output), out)


def sigmoid_backward(grad_output: F32, output: F32, *, out: F32 | None = None) -> F32:
    """Return the gradient at sigmoid's input from that at its `output` (N-08)."""
    return _apply("sigmoid_backward", "N-08", (grad_output, output), out)


def silu_backward(grad_output: F32, x: F32, *, out: F32 | None = None) -> F32:
    """Return the gradient at silu's input `x` (N-08)."""
    return _apply("silu_backward", "N-08", (grad_output, x), out)


def gelu_backward(
    grad_output: F32, x: F32, *, approximate: Approximation = "none", out: F32 | None = None
) -> F32:
    """Return the gradient at gelu's input `x` (N-08)."""
    return _apply(_gelu("gelu_backward", approximate), "N-08", (grad_output, x), out)


def threshold_backward(grad_output: F32, x: F32, threshold: float = 0.0, *, out: F32 | None = None) -> F32:
    """Return `grad_output` where x is greater than `threshold`, else +0: relu's gradient at threshold 0 (N-08)."""
    return _apply("threshold_backward", "N-08", (grad_output, x), out, _float32("threshold", threshold))


def _gelu(name: str, approximate: str) -> str:
    if approximate == "none":
        return name
    if approximate != "tanh":
        raise NumericsError("`approximate` must be 'none' or 'tanh'", got=repr(approximate), where=f"{name}, N-08")
    return name.replace("gelu", "gelu_tanh")


def _float32(name: str, scalar: float) -> float:
    if float(np.float32(scalar)) != scalar:
        raise NumericsError(f"`{name}` must be a float32 value", got=float(scalar).hex())
    return float(scalar)


def _apply(name: str, clause: str, operands: tuple[F32, ...], out: F32 | None, *scalars: float) -> F32:
    """Call a kernel on operands of one shape."""
    shape = operands[0].shape if type(operands[0]) is np.ndarray else ()
    for operand in operands:
        if not _is_well(operand, _READABLE) or operand.shape != shape:
            _refuse(name, clause, operands, shape)
    if out is None:
        out = np.empty(shape, dtype=_FLOAT32)
        starts = [pointer_of_contiguous(operand) for operand in operands]
        to = pointer_of_contiguous(out)
    else:
        if not _is_well(out, _WRITABLE) or out.shape != shape:
            _refuse_output(name, clause, out, shape)
        starts = [pointer_of_contiguous(operand) for operand in operands]
        to = pointer_of_contiguous(out)
        n_bytes = out.nbytes
        for start in starts:
            if start != to and -n_bytes < start - to < n_bytes:
                where = f"{name}, {clause}"
                raise NumericsError("`out` must be an operand or share no memory with one", where=where)
    library.loaded().call(f"sb_{name}_f32", out.size, *starts, *scalars, to, library.threads())
    return out


def _is_well(array: F32, flags: int) -> bool:
    """Tell whether nothing is wrong with an array but perhaps its shape: quick, for small arrays are common."""
    return type(array) is np.ndarray and array.dtype is _FLOAT32 and array.flags.num & flags == flags


def _refuse(name: str, clause: str, operands: tuple[F32, ...], shape: tuple[int, ...]) -> None:
    """Say what is wrong with an operand, unless it is no more than a subclass or another object of the dtype."""
    where = f"{name}, {clause}"
    for label, operand in zip(_LABELS[len(operands)], operands, strict=True):
        check_f32(label, operand, n_dims=None, where=where)
        check_shape(label, operand, shape, where=where)
        check_contiguous(label, operand, where=where)


def _refuse_output(name: str, clause: str, out: F32, shape: tuple[int, ...]) -> None:
    where = f"{name}, {clause}"
    check_f32("out", out, n_dims=None, where=where)
    check_shape("out", out, shape, where=where)
    check_contiguous("out", out, where=where)
    check_writable("out", out, where=where)
