"""Cross-entropy over the rows of logits (N-19). A row whose target is NO_TARGET counts nowhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.arrays import F32, float32_value, pointer, shape_text
from samebits.numerics.observation import observed
from samebits.numerics.rows import check_rows, operand, output, vector

I64 = np.ndarray[Any, np.dtype[np.int64]]
NO_TARGET = -100


@observed()
def cross_entropy(logits: F32, targets: I64) -> F32:
    """Return each row's loss: minus the log-softmax of its target.

    Bits: N-19.

    Args:
        logits: [rows, V] float32, V >= 1, rows contiguous and any distance apart; not modified.
        targets: [rows] int64, contiguous, each below V, or NO_TARGET: the row's logits are then not looked at.
    Returns:
        [rows] float32, newly allocated, in nats; +0 where there is no target.
    Raises:
        NumericsError: dtype, shape, strides or a target do not fit.
    """
    where = "cross_entropy, N-19"
    rows, n = check_rows("logits", logits, where=where)
    arguments = (*operand("logits", logits, (rows, n), where=where), _targets(targets, rows, n, where=where))
    losses = np.empty(rows, dtype=np.float32)
    library.loaded().call("sb_cross_entropy_f32", rows, n, *arguments, pointer(losses), library.threads())
    return losses


@observed()
def cross_entropy_backward(logits: F32, targets: I64, *, scale: float = 1.0, out: F32 | None = None) -> tuple[F32, F32]:
    """Return each row's loss, and the gradient of `scale` times their sum: no division by the number of targets.

    Bits: N-19.

    Args:
        logits: [rows, V] float32, V >= 1, rows contiguous and any distance apart; modified only as `out`.
        targets: [rows] int64, contiguous, each below V, or NO_TARGET: the row's logits are then not looked at.
        scale: a float32 value.
        out: [rows, V] float32, rows contiguous; `logits` itself, or apart from it.
    Returns:
        The losses as `cross_entropy` has them; the logits' gradient, `out` or [rows, V] newly allocated, +0 where there
        is no target.
    Raises:
        NumericsError: dtype, shape, strides, scale or a target do not fit, or `out` overlaps `logits`.
    """
    where = "cross_entropy_backward, N-19"
    rows, n = check_rows("logits", logits, where=where)
    scale = float32_value("scale", scale, where=where)
    arguments = (*operand("logits", logits, (rows, n), where=where), _targets(targets, rows, n, where=where))
    out, address, stride = output(out, (rows, n), over={"logits": logits}, apart={}, where=where)
    losses = np.empty(rows, dtype=np.float32)
    library.loaded().call(
        "sb_cross_entropy_backward_f32",
        *(rows, n, *arguments, scale, address, stride, pointer(losses), library.threads()),
    )
    return losses, out


@observed()
def loss_sum(losses: F32, targets: I64) -> float:
    """Return the sum of the losses of the rows that have a target.

    Bits: N-19 (lanes by the row's number; a row without a target is skipped).

    Args:
        losses: [rows] float32, contiguous: all rows of one sequence, in its order.
        targets: [rows] int64, contiguous; NO_TARGET is none.
    Returns:
        The sum, a float32 value; -0 where no row has a target.
    Raises:
        NumericsError: dtype, shape or strides do not fit.
    """
    where = "loss_sum, N-19"
    address = vector("losses", losses, losses.size, where=where)
    total = np.empty(1, dtype=np.float32)
    arguments = (losses.size, address, _targets(targets, losses.size, None, where=where), pointer(total))
    library.loaded().call("sb_loss_sum_f32", *arguments)
    return float(total[0])


def _targets(targets: Any, rows: int, n: int | None, *, where: str) -> int:
    if not isinstance(targets, np.ndarray) or targets.dtype != np.int64 or not targets.flags.aligned:
        got = f"{targets.dtype}" if isinstance(targets, np.ndarray) else type(targets).__name__
        raise NumericsError("`targets` must be an int64 array of native byte order", got=got, where=where)
    if targets.shape != (rows,):
        raise NumericsError(f"`targets` must be [{rows}]", got=shape_text(targets.shape), where=where)
    if not targets.flags.c_contiguous:
        raise NumericsError("`targets` must be C-contiguous", got=f"strides {targets.strides}", where=where)
    if n is not None:
        wrong = targets[((targets < 0) | (targets >= n)) & (targets != NO_TARGET)]
        if wrong.size:
            must = f"`targets` must be from 0 to {n - 1}, or {NO_TARGET}"
            raise NumericsError(must, got=str(wrong[0]), where=where)
    address: int = targets.__array_interface__["data"][0]
    return address
