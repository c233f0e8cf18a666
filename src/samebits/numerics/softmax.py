"""Softmax and log-softmax (N-19) over the rows of a matrix, forward and backward."""

from __future__ import annotations

from samebits.numerics import library
from samebits.numerics.arrays import F32
from samebits.numerics.observation import observed
from samebits.numerics.rows import check_rows, operand, output


@observed()
def softmax(x: F32, *, out: F32 | None = None) -> F32:
    """Return exp(x) over its sum, row by row.

    Bits: N-19.

    Args:
        x: [rows, n] float32, n >= 1, rows contiguous and any distance apart; not modified. An element of -inf gives +0
            and leaves the others as they would be without it.
        out: [rows, n] float32, rows contiguous; `x` itself, or apart from it.
    Returns:
        `out`, or [rows, n] newly allocated.
    Raises:
        NumericsError: dtype, shape or strides do not fit, or `out` overlaps `x`.
    """
    return _over_rows("softmax", {"x": x}, out)


@observed()
def log_softmax(x: F32, *, out: F32 | None = None) -> F32:
    """Return x less the logarithm of the sum of exp(x), row by row.

    Bits: N-19.

    Args:
        x: [rows, n] float32, n >= 1, rows contiguous and any distance apart; not modified.
        out: [rows, n] float32, rows contiguous; `x` itself, or apart from it.
    Returns:
        `out`, or [rows, n] newly allocated.
    Raises:
        NumericsError: dtype, shape or strides do not fit, or `out` overlaps `x`.
    """
    return _over_rows("log_softmax", {"x": x}, out)


@observed()
def softmax_backward(dy: F32, y: F32, *, out: F32 | None = None) -> F32:
    """Return the gradient of `softmax`'s x.

    Bits: N-19.

    Args:
        dy: [rows, n] float32, rows contiguous and any distance apart; not modified.
        y: as `softmax` returned it; not modified.
        out: [rows, n] float32, rows contiguous; `dy` or `y` itself, or apart from both.
    Returns:
        `out`, or [rows, n] newly allocated.
    Raises:
        NumericsError: dtype, shape or strides do not fit, or `out` overlaps an operand.
    """
    return _over_rows("softmax_backward", {"dy": dy, "y": y}, out)


@observed()
def log_softmax_backward(dy: F32, y: F32, *, out: F32 | None = None) -> F32:
    """Return the gradient of `log_softmax`'s x.

    Bits: N-19.

    Args:
        dy: [rows, n] float32, rows contiguous and any distance apart; not modified.
        y: as `log_softmax` returned it; not modified.
        out: [rows, n] float32, rows contiguous; `dy` or `y` itself, or apart from both.
    Returns:
        `out`, or [rows, n] newly allocated.
    Raises:
        NumericsError: dtype, shape or strides do not fit, or `out` overlaps an operand.
    """
    return _over_rows("log_softmax_backward", {"dy": dy, "y": y}, out)


def _over_rows(name: str, operands: dict[str, F32], out: F32 | None) -> F32:
    where = f"{name}, N-19"
    *_, last = operands
    shape = check_rows(last, operands[last], where=where)
    arguments = [argument for item in operands.items() for argument in operand(*item, shape, where=where)]
    out, address, stride = output(out, shape, over=operands, apart={}, where=where)
    library.loaded().call(f"sb_{name}_f32", *shape, *arguments, address, stride, library.threads())
    return out
