"""Layer norm and RMS norm (N-18), one row or one column at a time."""

from __future__ import annotations

from collections.abc import Sequence

from samebits.numerics.oracle.binary32 import ONE, SIGN, ZERO, add, div, fma, mul, rounded, sqrt, sub
from samebits.numerics.oracle.reductions import dot, sum_of

Row = Sequence[int]


def layer_norm(x: Row, weight: Row | None, bias: Row | None, eps: int) -> tuple[list[int], int, int]:
    """Return a row's output, its mean and its inverse deviation."""
    mean = div(sum_of(x), count(x))
    centred = [sub(element, mean) for element in x]
    rstd = _rstd(centred, eps)
    out = [mul(element, rstd) for element in centred]
    if weight is not None and bias is not None:
        return [fma(*each) for each in zip(out, weight, bias, strict=True)], mean, rstd
    if weight is not None:
        out = [mul(*each) for each in zip(out, weight, strict=True)]
    if bias is not None:
        out = [add(*each) for each in zip(out, bias, strict=True)]
    return out, mean, rstd


def rms_norm(x: Row, weight: Row | None, eps: int) -> tuple[list[int], int]:
    """Return a row's output and its inverse root mean square."""
    rstd = _rstd(x, eps)
    out = [mul(element, rstd) for element in x]
    return out if weight is None else [mul(*each) for each in zip(out, weight, strict=True)], rstd


def layer_norm_backward(dy: Row, x: Row, mean: int, rstd: int, weight: Row | None) -> list[int]:
    """Return the gradient of a row of layer norm's x."""
    gradient = _weighted(dy, weight)
    h = [mul(sub(element, mean), rstd) for element in x]
    along, level = div(dot(gradient, h), count(x)), div(sum_of(gradient), count(x))
    return [mul(rstd, fma(h_i ^ SIGN, along, sub(g_i, level))) for g_i, h_i in zip(gradient, h, strict=True)]


def rms_norm_backward(dy: Row, x: Row, rstd: int, weight: Row | None) -> list[int]:
    """Return the gradient of a row of RMS norm's x."""
    gradient = _weighted(dy, weight)
    h = [mul(element, rstd) for element in x]
    along = div(dot(gradient, h), count(x))
    return [mul(rstd, fma(h_i ^ SIGN, along, g_i)) for g_i, h_i in zip(gradient, h, strict=True)]


def layer_norm_backward_weight(dy: Row, x: Row, means: Row, rstds: Row) -> tuple[int, int]:
    """Return the gradients of weight and bias in one column, given down its rows."""
    weight = bias = ZERO
    for d, element, mean, rstd in zip(dy, x, means, rstds, strict=True):
        weight = fma(d, mul(sub(element, mean), rstd), weight)
        bias = add(bias, d)
    return weight, bias


def rms_norm_backward_weight(dy: Row, x: Row, rstds: Row) -> int:
    """Return the gradient of the weight in one column, given down its rows."""
    weight = ZERO
    for d, element, rstd in zip(dy, x, rstds, strict=True):
        weight = fma(d, mul(element, rstd), weight)
    return weight


def count(x: Row) -> int:
    """Return the number of elements as a float32."""
    return rounded(0, len(x), 0)


def _rstd(x: Row, eps: int) -> int:
    return div(ONE, sqrt(add(div(dot(x, x), count(x)), eps)))


def _weighted(dy: Row, weight: Row | None) -> list[int]:
    return list(dy) if weight is None else [mul(*each) for each in zip(dy, weight, strict=True)]
