"""Functions of float32 arrays, element by element (N-08): activations among them, and their gradients.

Operands are float32, C-contiguous and of one shape; `out` may be one of them. Names and order of arguments are aten's.
"""

from __future__ import annotations

from typing import Literal

from samebits.errors import NumericsError
from samebits.numerics.arrays import F32
from samebits.numerics.pointwise import call_pointwise, float32_value

Approximation = Literal["none", "tanh"]


def exp(x: F32, *, out: F32 | None = None) -> F32:
    """Return e to the power of x (N-08)."""
    return _of_x("exp", x, out)


def log(x: F32, *, out: F32 | None = None) -> F32:
    """Return the natural logarithm of x (N-08)."""
    return _of_x("log", x, out)


def sin(x: F32, *, out: F32 | None = None) -> F32:
    """Return the sine of x radians (N-08)."""
    return _of_x("sin", x, out)


def cos(x: F32, *, out: F32 | None = None) -> F32:
    """Return the cosine of x radians (N-08)."""
    return _of_x("cos", x, out)


def tanh(x: F32, *, out: F32 | None = None) -> F32:
    """Return the hyperbolic tangent of x (N-08)."""
    return _of_x("tanh", x, out)


def erf(x: F32, *, out: F32 | None = None) -> F32:
    """Return the error function of x (N-08)."""
    return _of_x("erf", x, out)


def sigmoid(x: F32, *, out: F32 | None = None) -> F32:
    """Return 1 / (1 + e^-x) (N-08)."""
    return _of_x("sigmoid", x, out)


def silu(x: F32, *, out: F32 | None = None) -> F32:
    """Return x / (1 + e^-x) (N-08)."""
    return _of_x("silu", x, out)


def gelu(x: F32, *, approximate: Approximation = "none", out: F32 | None = None) -> F32:
    """Return x times the normal distribution's probability below x, or what tanh approximates it by (N-08)."""
    return _of_x(_gelu("gelu", approximate), x, out)


def relu(x: F32, *, out: F32 | None = None) -> F32:
    """Return x where it is greater than 0, else +0 (N-08)."""
    return _of_x("relu", x, out)


def tanh_backward(grad_output: F32, output: F32, *, out: F32 | None = None) -> F32:
    """Return the gradient at tanh's input from that at its `output` (N-08)."""
    return _backward("tanh_backward", grad_output, "output", output, out)


def sigmoid_backward(grad_output: F32, output: F32, *, out: F32 | None = None) -> F32:
    """Return the gradient at sigmoid's input from that at its `output` (N-08)."""
    return _backward("sigmoid_backward", grad_output, "output", output, out)


def silu_backward(grad_output: F32, x: F32, *, out: F32 | None = None) -> F32:
    """Return the gradient at silu's input `x` (N-08)."""
    return _backward("silu_backward", grad_output, "x", x, out)


def gelu_backward(grad_output: F32, x: F32, *, approximate: Approximation = "none", out: F32 | None = None) -> F32:
    """Return the gradient at gelu's input `x` (N-08)."""
    return _backward(_gelu("gelu_backward", approximate), grad_output, "x", x, out)


def threshold_backward(grad_output: F32, x: F32, threshold: float = 0.0, *, out: F32 | None = None) -> F32:
    """Return `grad_output` where x is greater than `threshold`, else +0: relu's gradient at threshold 0 (N-08)."""
    where = "threshold_backward, N-08"
    scalar = float32_value("threshold", threshold, where)
    return call_pointwise("threshold_backward", where, ("grad_output", "x"), (grad_output, x), out, scalar)


def _gelu(name: str, approximate: str) -> str:
    if approximate == "none":
        return name
    if approximate != "tanh":
        raise NumericsError("`approximate` must be 'none' or 'tanh'", got=repr(approximate), where=f"{name}, N-08")
    return name.replace("gelu", "gelu_tanh")


def _of_x(kernel: str, x: F32, out: F32 | None) -> F32:
    return call_pointwise(kernel, f"{kernel}, N-08", ("x",), (x,), out)


def _backward(kernel: str, grad_output: F32, label: str, value: F32, out: F32 | None) -> F32:
    return call_pointwise(kernel, f"{kernel}, N-08", ("grad_output", label), (grad_output, value), out)
