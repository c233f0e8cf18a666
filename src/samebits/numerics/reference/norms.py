"""Layer norm and RMS norm (N-18): a row at a time, and a column at a time for the gradients of weights."""

from __future__ import annotations

from collections.abc import Callable

from samebits.numerics.oracle import norms
from samebits.numerics.reference.memory import optional_words, pattern, put, rows_of, vector


def layer_norm(
    rows: int,
    n: int,
    x: int,
    x_row: int,
    weight: int | None,
    bias: int | None,
    eps: float,
    out: int,
    out_row: int,
    mean: int,
    rstd: int,
    _: int,
) -> int:
    """Write the normed rows, their means and inverse deviations."""
    parameters = optional_words(weight, n), optional_words(bias, n), pattern(eps)
    found = [norms.layer_norm(row, *parameters) for row in rows_of(x, rows, n, x_row).tolist()]
    put(rows_of(out, rows, n, out_row), [normed for normed, _, _ in found])
    put(vector(mean, rows), [own_mean for _, own_mean, _ in found])
    put(vector(rstd, rows), [own_rstd for _, _, own_rstd in found])
    return 0


def rms_norm(
    rows: int, n: int, x: int, x_row: int, weight: int | None, eps: float, out: int, out_row: int, rstd: int, _: int
) -> int:
    """Write the normed rows and their inverse root mean squares."""
    parameters = optional_words(weight, n), pattern(eps)
    found = [norms.rms_norm(row, *parameters) for row in rows_of(x, rows, n, x_row).tolist()]
    put(rows_of(out, rows, n, out_row), [normed for normed, _ in found])
    put(vector(rstd, rows), [own_rstd for _, own_rstd in found])
    return 0


def layer_norm_backward(
    rows: int,
    n: int,
    dy: int,
    dy_row: int,
    x: int,
    x_row: int,
    mean: int,
    rstd: int,
    weight: int | None,
    dx: int,
    dx_row: int,
    accumulate: int,
    _: int,
) -> int:
    """Write the gradient of x, or add it."""
    weights, (gradients, inputs) = optional_words(weight, n), _two(rows, n, dy, dy_row, x, x_row)
    statistics = vector(mean, rows).tolist(), vector(rstd, rows).tolist()
    each = zip(gradients, inputs, *statistics, strict=True)
    found = [norms.layer_norm_backward(*row, weights) for row in each]
    put(rows_of(dx, rows, n, dx_row), found, accumulate=accumulate)
    return 0


def rms_norm_backward(
    rows: int,
    n: int,
    dy: int,
    dy_row: int,
    x: int,
    x_row: int,
    rstd: int,
    weight: int | None,
    dx: int,
    dx_row: int,
    accumulate: int,
    _: int,
) -> int:
    """Write the gradient of x, or add it."""
    weights, (gradients, inputs) = optional_words(weight, n), _two(rows, n, dy, dy_row, x, x_row)
    each = zip(gradients, inputs, vector(rstd, rows).tolist(), strict=True)
    found = [norms.rms_norm_backward(*row, weights) for row in each]
    put(rows_of(dx, rows, n, dx_row), found, accumulate=accumulate)
    return 0


def layer_norm_backward_weight(
    rows: int,
    n: int,
    dy: int,
    dy_row: int,
    x: int,
    x_row: int,
    mean: int,
    rstd: int,
    dweight: int,
    dbias: int,
    accumulate: int,
    _: int,
) -> int:
    """Write the gradients of weight and bias, or add them."""
    gradients, inputs = _two(rows, n, dy, dy_row, x, x_row)
    statistics = vector(mean, rows).tolist(), vector(rstd, rows).tolist()
    found = [
        norms.layer_norm_backward_weight([row[c] for row in gradients], [row[c] for row in inputs], *statistics)
        for c in range(n)
    ]
    put(vector(dweight, n), [of_weight for of_weight, _ in found], accumulate=accumulate)
    put(vector(dbias, n), [of_bias for _, of_bias in found], accumulate=accumulate)
    return 0


def rms_norm_backward_weight(
    rows: int, n: int, dy: int, dy_row: int, x: int, x_row: int, rstd: int, dweight: int, accumulate: int, _: int
) -> int:
    """Write the gradient of the weight, or add it."""
    gradients, inputs = _two(rows, n, dy, dy_row, x, x_row)
    statistics = vector(rstd, rows).tolist()
    found = [
        norms.rms_norm_backward_weight([row[c] for row in gradients], [row[c] for row in inputs], statistics)
        for c in range(n)
    ]
    put(vector(dweight, n), found, accumulate=accumulate)
    return 0


def _two(rows: int, n: int, dy: int, dy_row: int, x: int, x_row: int) -> tuple[list[list[int]], list[list[int]]]:
    return rows_of(dy, rows, n, dy_row).tolist(), rows_of(x, rows, n, x_row).tolist()


KERNELS: dict[str, Callable[..., int]] = {
    "sb_layer_norm_f32": layer_norm,
    "sb_layer_norm_backward_f32": layer_norm_backward,
    "sb_layer_norm_backward_weight_f32": layer_norm_backward_weight,
    "sb_rms_norm_f32": rms_norm,
    "sb_rms_norm_backward_f32": rms_norm_backward,
    "sb_rms_norm_backward_weight_f32": rms_norm_backward_weight,
}
