"""Layer norm and RMS norm (N-18) over the rows of a matrix, forward and backward.

The forward functions give back, beside their output, what the backward ones read: the rows' means and inverse
deviations. Gradients of weight and bias are sums over rows and stand apart from the gradient of the input, the only one
that a frozen norm needs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.arrays import F32, FLOAT32, float32_value, pointer
from samebits.numerics.observation import observed
from samebits.numerics.rows import check_rows, operand, optional_vector, output, output_vector, vector


@observed()
def layer_norm(
    x: F32, weight: F32 | None = None, bias: F32 | None = None, *, eps: float, out: F32 | None = None
) -> tuple[F32, F32, F32]:
    """Take off each row's mean, divide by its deviation, then scale and shift.

    Bits: N-18.

    Args:
        x: [rows, n] float32, n >= 1, rows contiguous and any distance apart; not modified.
        weight: [n] float32, contiguous; None scales by nothing.
        bias: likewise; None adds nothing.
        eps: added to the variance; a float32 value, >= 0.
        out: [rows, n] float32, rows contiguous; `x` itself, or apart from all operands.
    Returns:
        `out` or [rows, n] newly allocated; the rows' means, [rows]; the rows' 1 / sqrt(variance + eps), [rows].
    Raises:
        NumericsError: dtype, shape, strides or eps do not fit, or `out` overlaps an operand.
    Source: Ba, Kiros & Hinton, arXiv:1607.06450.
    """
    where = "layer_norm, N-18"
    rows, n = check_rows("x", x, where=where)
    _check_eps(eps, where=where)
    operands = (*operand("x", x, (rows, n), where=where), optional_vector("weight", weight, n, where=where))
    b = optional_vector("bias", bias, n, where=where)
    apart = {"weight": weight, "bias": bias}
    out, address, stride = output(out, (rows, n), over={"x": x}, apart=apart, where=where)
    mean, rstd = np.empty(rows, dtype=FLOAT32), np.empty(rows, dtype=FLOAT32)
    library.loaded().call(
        "sb_layer_norm_f32",
        *(rows, n, *operands, b, eps, address, stride, pointer(mean), pointer(rstd), library.threads()),
    )
    return out, mean, rstd


@observed()
def layer_norm_backward(
    dy: F32,
    x: F32,
    mean: F32,
    rstd: F32,
    weight: F32 | None = None,
    *,
    out: F32 | None = None,
    accumulate: bool = False,
) -> F32:
    """Return the gradient of `layer_norm`'s x.

    Bits: N-18.

    Args:
        dy: [rows, n] float32, rows contiguous and any distance apart; not modified.
        x: as given to `layer_norm`; not modified.
        mean: [rows] float32, as `layer_norm` returned it.
        rstd: likewise.
        weight: as given to `layer_norm`.
        out: [rows, n] float32, rows contiguous; `dy` or `x` itself, or apart from all operands; with `accumulate` read.
        accumulate: add the gradient to what `out` holds; `out` is then no operand.
    Returns:
        `out`, or [rows, n] newly allocated.
    Raises:
        NumericsError: dtype, shape or strides do not fit, or `out` overlaps an operand.
    """
    return _backward("layer_norm_backward", dy, x, {"mean": mean, "rstd": rstd}, weight, out=out, accumulate=accumulate)


@observed()
def layer_norm_backward_weight(
    dy: F32,
    x: F32,
    mean: F32,
    rstd: F32,
    *,
    out: F32 | None = None,
    out_bias: F32 | None = None,
    accumulate: bool = False,
) -> tuple[F32, F32]:
    """Return the gradients of `layer_norm`'s weight and bias: sums over the rows given.

    Bits: N-18 (per column one chain over ascending rows).

    Args:
        dy: [rows, n] float32, rows contiguous and any distance apart; not modified.
        x: as given to `layer_norm`; not modified.
        mean: [rows] float32, as `layer_norm` returned it.
        rstd: likewise.
        out: [n] float32, contiguous; the weight's gradient; with `accumulate` read.
        out_bias: likewise; the bias's.
        accumulate: add both finished sums to what `out` and `out_bias` hold.
    Returns:
        `out` and `out_bias`, or [n] and [n] newly allocated.
    Raises:
        NumericsError: dtype, shape or strides do not fit, or an output overlaps an operand.
    """
    where = "layer_norm_backward_weight, N-18"
    rows, n = check_rows("x", x, where=where)
    operands = (*operand("dy", dy, (rows, n), where=where), *operand("x", x, (rows, n), where=where))
    statistics = (vector("mean", mean, rows, where=where), vector("rstd", rstd, rows, where=where))
    apart = {"dy": dy, "x": x, "mean": mean, "rstd": rstd}
    out, address = output_vector("out", out, n, apart=apart, accumulate=accumulate, where=where)
    apart["out"] = out
    out_bias, bias_address = output_vector("out_bias", out_bias, n, apart=apart, accumulate=accumulate, where=where)
    library.loaded().call(
        "sb_layer_norm_backward_weight_f32",
        *(rows, n, *operands, *statistics, address, bias_address, accumulate, library.threads()),
    )
    return out, out_bias


@observed()
def rms_norm(x: F32, weight: F32 | None = None, *, eps: float, out: F32 | None = None) -> tuple[F32, F32]:
    """Divide each row by its root mean square, then scale.

    Bits: N-18.

    Args:
        x: [rows, n] float32, n >= 1, rows contiguous and any distance apart; not modified.
        weight: [n] float32, contiguous; None scales by nothing.
        eps: added to the mean square; a float32 value, >= 0.
        out: [rows, n] float32, rows contiguous; `x` itself, or apart from all operands.
    Returns:
        `out` or [rows, n] newly allocated; the rows' 1 / sqrt(mean square + eps), [rows].
    Raises:
        NumericsError: dtype, shape, strides or eps do not fit, or `out` overlaps an operand.
    Source: Zhang & Sennrich, arXiv:1910.07467.
    """
    where = "rms_norm, N-18"
    rows, n = check_rows("x", x, where=where)
    _check_eps(eps, where=where)
    operands = (*operand("x", x, (rows, n), where=where), optional_vector("weight", weight, n, where=where))
    out, address, stride = output(out, (rows, n), over={"x": x}, apart={"weight": weight}, where=where)
    rstd = np.empty(rows, dtype=FLOAT32)
    library.loaded().call(
        "sb_rms_norm_f32", *(rows, n, *operands, eps, address, stride, pointer(rstd), library.threads())
    )
    return out, rstd


@observed()
def rms_norm_backward(
    dy: F32, x: F32, rstd: F32, weight: F32 | None = None, *, out: F32 | None = None, accumulate: bool = False
) -> F32:
    """Return the gradient of `rms_norm`'s x.

    Bits: N-18.

    Args:
        dy: [rows, n] float32, rows contiguous and any distance apart; not modified.
        x: as given to `rms_norm`; not modified.
        rstd: [rows] float32, as `rms_norm` returned it.
        weight: as given to `rms_norm`.
        out: [rows, n] float32, rows contiguous; `dy` or `x` itself, or apart from all operands; with `accumulate` read.
        accumulate: add the gradient to what `out` holds; `out` is then no operand.
    Returns:
        `out`, or [rows, n] newly allocated.
    Raises:
        NumericsError: dtype, shape or strides do not fit, or `out` overlaps an operand.
    """
    return _backward("rms_norm_backward", dy, x, {"rstd": rstd}, weight, out=out, accumulate=accumulate)


@observed()
def rms_norm_backward_weight(dy: F32, x: F32, rstd: F32, *, out: F32 | None = None, accumulate: bool = False) -> F32:
    """Return the gradient of `rms_norm`'s weight: a sum over the rows given.

    Bits: N-18 (per column one chain over ascending rows).

    Args:
        dy: [rows, n] float32, rows contiguous and any distance apart; not modified.
        x: as given to `rms_norm`; not modified.
        rstd: [rows] float32, as `rms_norm` returned it.
        out: [n] float32, contiguous; with `accumulate` read.
        accumulate: add the finished sum to what `out` holds.
    Returns:
        `out`, or [n] newly allocated.
    Raises:
        NumericsError: dtype, shape or strides do not fit, or `out` overlaps an operand.
    """
    where = "rms_norm_backward_weight, N-18"
    rows, n = check_rows("x", x, where=where)
    operands = (*operand("dy", dy, (rows, n), where=where), *operand("x", x, (rows, n), where=where))
    statistics = vector("rstd", rstd, rows, where=where)
    apart = {"dy": dy, "x": x, "rstd": rstd}
    out, address = output_vector("out", out, n, apart=apart, accumulate=accumulate, where=where)
    library.loaded().call(
        "sb_rms_norm_backward_weight_f32", *(rows, n, *operands, statistics, address, accumulate, library.threads())
    )
    return out


def _backward(
    name: str, dy: F32, x: F32, statistics: dict[str, F32], weight: F32 | None, *, out: F32 | None, accumulate: bool
) -> F32:
    where = f"{name}, N-18"
    rows, n = check_rows("x", x, where=where)
    operands: list[Any] = [*operand("dy", dy, (rows, n), where=where), *operand("x", x, (rows, n), where=where)]
    operands += [vector(label, array, rows, where=where) for label, array in statistics.items()]
    operands.append(optional_vector("weight", weight, n, where=where))
    out, address, stride = output(
        out,
        (rows, n),
        over={"dy": dy, "x": x},
        apart={"weight": weight, **statistics},
        accumulate=accumulate,
        where=where,
    )
    library.loaded().call(f"sb_{name}_f32", *(rows, n, *operands, address, stride, accumulate, library.threads()))
    return out


def _check_eps(eps: float, *, where: str) -> None:
    if not float32_value("eps", eps, where=where) >= 0:
        raise NumericsError("`eps` must not be negative", got=float(eps).hex(), where=where)
