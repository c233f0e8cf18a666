"""Kernels over the rows of matrices: reductions (N-07, N-15), softmax and losses (N-19)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from samebits.numerics.oracle import powers, reductions, softmax
from samebits.numerics.reference.memory import INDEX, pattern, put, rows_of, vector

_REDUCTIONS: dict[str, Callable[..., int]] = {
    "sb_sum_f32": reductions.sum_of,
    "sb_amax_f32": reductions.amax,
    "sb_dot_f32": reductions.dot,
    "sb_vector_norm_f32": powers.vector_norm,
}
_OF_ROWS: dict[str, Callable[..., list[int]]] = {
    "sb_softmax_f32": softmax.softmax,
    "sb_log_softmax_f32": softmax.log_softmax,
    "sb_softmax_backward_f32": softmax.softmax_backward,
    "sb_log_softmax_backward_f32": softmax.log_softmax_backward,
}


def _rows(rows: int, n: int, places: Sequence[int]) -> list[tuple[list[int], ...]]:
    """Return, for each row, that row of every operand; `places` are addresses and row strides in turn."""
    pairs = zip(places[::2], places[1::2], strict=True)
    operands = [rows_of(address, rows, n, stride).tolist() for address, stride in pairs]
    return list(zip(*operands, strict=True))


def _reduction(reduce: Callable[..., int]) -> Callable[..., int]:
    """Return the kernel (rows, n, operands with their strides, out, n_threads)."""

    def run(rows: int, n: int, *arguments: Any) -> int:
        *places, out, _ = arguments
        put(vector(out, rows), [reduce(*row) for row in _rows(rows, n, places)])
        return 0

    return run


def _of_rows(operation: Callable[..., list[int]]) -> Callable[..., int]:
    """Return the kernel (rows, n, operands with their strides, out with its stride, n_threads)."""

    def run(rows: int, n: int, *arguments: Any) -> int:
        *places, out, out_row, _ = arguments
        put(rows_of(out, rows, n, out_row), [operation(*row) for row in _rows(rows, n, places)])
        return 0

    return run


def cross_entropy(rows: int, n: int, logits: int, logits_row: int, targets: int, losses: int, _: int) -> int:
    """Write each row's loss."""
    pairs = zip(rows_of(logits, rows, n, logits_row).tolist(), vector(targets, rows, INDEX).tolist(), strict=True)
    put(vector(losses, rows), [softmax.cross_entropy(row, target) for row, target in pairs])
    return 0


def cross_entropy_backward(
    rows: int,
    n: int,
    logits: int,
    logits_row: int,
    targets: int,
    scale: float,
    out: int,
    out_row: int,
    losses: int,
    _: int,
) -> int:
    """Write each row's loss and the gradient of its logits."""
    pairs = list(zip(rows_of(logits, rows, n, logits_row).tolist(), vector(targets, rows, INDEX).tolist(), strict=True))
    found = [softmax.cross_entropy(*pair) for pair in pairs]
    gradients = [softmax.cross_entropy_backward(*pair, pattern(scale)) for pair in pairs]
    put(vector(losses, rows), found)
    put(rows_of(out, rows, n, out_row), gradients)
    return 0


def loss_sum(rows: int, losses: int, targets: int, out: int) -> int:
    """Write the sum over the rows that have a target."""
    put(vector(out, 1), [softmax.loss_sum(vector(losses, rows).tolist(), vector(targets, rows, INDEX).tolist())])
    return 0


KERNELS: dict[str, Callable[..., int]] = {
    **{symbol: _reduction(reduce) for symbol, reduce in _REDUCTIONS.items()},
    **{symbol: _of_rows(operation) for symbol, operation in _OF_ROWS.items()},
    "sb_cross_entropy_f32": cross_entropy,
    "sb_cross_entropy_backward_f32": cross_entropy_backward,
    "sb_loss_sum_f32": loss_sum,
}
