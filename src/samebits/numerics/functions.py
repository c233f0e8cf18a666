"""Functions of float32 arrays, element by element (N-08): activations among them, and their gradients.

Operands are float32, C-contiguous and of one shape; `out` may be one of them. Names and order of arguments are aten's.
"""

from __future__ import annotations

from typing import Literal

from samebits.errors import NumericsError
from samebits.numerics.arrays import F32, float32_value
from samebits.numerics.observation import observed
from samebits.numerics.pointwise import call_of_two, call_of_x

Approximation = Literal["none", "tanh"]
_WITH_OUTPUT, _WITH_X = ("grad_output", "output"), ("grad_output", "x")


@observed()
def exp(x: F32, *, out: F32 | None = None) -> F32:
    """Return e to the power of x (N-08)."""
    return call_of_x("sb_exp_f32", "exp, N-08", x, out)


@observed()
def log(x: F32, *, out: F32 | None = None) -> F32:
    """Return the natural logarithm of x (N-08)."""
    return call_of_x("sb_log_f32", "log, N-08", x, out)


@observed()
def sin(x: F32, *, out: F32 | None = None) -> F32:
    """Return the sine of x radians (N-08)."""
    return call_of_x("sb_sin_f32", "sin, N-08", x, out)


@observed()
def cos(x: F32, *, out: F32 | None = None) -> F32:
    """Return the cosine of x radians (N-08)."""
    return call_of_x("sb_cos_f32", "cos, N-08", x, out)


@observed()
def tanh(x: F32, *, out: F32 | None = None) -> F32:
    """Return the hyperbolic tangent of x (N-08)."""
    return call_of_x("sb_tanh_f32", "tanh, N-08", x, out)


@observed()
def erf(x: F32, *, out: F32 | None = None) -> F32:
    """Return the error function of x (N-08)."""
    return call_of_x("sb_erf_f32", "erf, N-08", x, out)


@observed()
def sigmoid(x: F32, *, out: F32 | None = None) -> F32:
    """Return 1 / (1 + e^-x) (N-08)."""
    return call_of_x("sb_sigmoid_f32", "sigmoid, N-08", x, out)


@observed()
def silu(x: F32, *, out: F32 | None = None) -> F32:
    """Return x / (1 + e^-x) (N-08)."""
    return call_of_x("sb_silu_f32", "silu, N-08", x, out)


@observed()
def gelu(x: F32, *, approximate: Approximation = "none", out: F32 | None = None) -> F32:
    """Return x times the normal distribution's probability below x, or what tanh approximates it by (N-08)."""
    return call_of_x(_gelu("gelu", "sb_gelu_f32", "sb_gelu_tanh_f32", approximate), "gelu, N-08", x, out)


@observed()
def relu(x: F32, *, out: F32 | None = None) -> F32:
    """Return x where it is greater than 0, else +0 (N-08)."""
    return call_of_x("sb_relu_f32", "relu, N-08", x, out)


@observed()
def tanh_backward(grad_output: F32, output: F32, *, out: F32 | None = None) -> F32:
    """Return the gradient at tanh's input from that at its `output` (N-08)."""
    return call_of_two("sb_tanh_backward_f32", "tanh_backward, N-08", _WITH_OUTPUT, grad_output, output, out)


@observed()
def sigmoid_backward(grad_output: F32, output: F32, *, out: F32 | None = None) -> F32:
    """Return the gradient at sigmoid's input from that at its `output` (N-08)."""
    return call_of_two("sb_sigmoid_backward_f32", "sigmoid_backward, N-08", _WITH_OUTPUT, grad_output, output, out)


@observed()
def silu_backward(grad_output: F32, x: F32, *, out: F32 | None = None) -> F32:
    """Return the gradient at silu's input `x` (N-08)."""
    return call_of_two("sb_silu_backward_f32", "silu_backward, N-08", _WITH_X, grad_output, x, out)


@observed()
def gelu_backward(grad_output: F32, x: F32, *, approximate: Approximation = "none", out: F32 | None = None) -> F32:
    """Return the gradient at gelu's input `x` (N-08)."""
    return call_of_two(
        _gelu("gelu_backward", "sb_gelu_backward_f32", "sb_gelu_tanh_backward_f32", approximate),
        "gelu_backward, N-08",
        _WITH_X,
        grad_output,
        x,
        out,
    )


@observed()
def threshold_backward(grad_output: F32, x: F32, threshold: float = 0.0, *, out: F32 | None = None) -> F32:
    """Return `grad_output` where x is greater than `threshold`, else +0: relu's gradient at threshold 0 (N-08)."""
    where = "threshold_backward, N-08"
    scalar = float32_value("threshold", threshold, where=where)
    return call_of_two("sb_threshold_backward_f32", where, _WITH_X, grad_output, x, out, scalar)


def _gelu(name: str, by_erf: str, by_tanh: str, approximate: str) -> str:
    if approximate == "none":
        return by_erf
    if approximate != "tanh":
        raise NumericsError("`approximate` must be 'none' or 'tanh'", got=repr(approximate), where=f"{name}, N-08")
    return by_tanh
