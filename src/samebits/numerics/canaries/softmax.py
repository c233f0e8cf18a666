"""Canaries of softmax and cross-entropy: exponentials from 1 down to nothing, rows with a target and without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from samebits.numerics import losses, softmax
from samebits.numerics.arrays import F32
from samebits.numerics.canaries.canary import Canary, pattern
from samebits.numerics.oracle import softmax as oracle

ROW = 3 * 64 + 37
# Rows enough for two threads to share them.
FEW, MANY = 3, 72
N_LOSSES = 20 * 64 + 21
SCALE = float.fromhex("0x1.99999ap-4")

Matrix = list[list[int]]


def _logits(seed: int, rows: int) -> F32:
    """Return rows of like numbers, rows of unlike ones, and in the first row elements that are masked by -inf."""
    x = np.concatenate(
        [pattern(seed, rows - rows // 2, ROW, low=118, high=134), pattern(seed, rows // 2, ROW, high=128)]
    )
    x[0, 1::50] = -np.inf
    return x


def _backward_operands() -> tuple[F32, F32]:
    return pattern(121, FEW, ROW, low=110, high=130), np.abs(pattern(122, FEW, ROW, low=110, high=127))


def _log_backward_operands() -> tuple[F32, F32]:
    dy = pattern(123, FEW, ROW, low=110, high=130)
    dy[-1] = -0.0
    return dy, -np.abs(pattern(124, FEW, ROW, low=118, high=134))


def _targets(rows: int) -> list[int]:
    """Return one target a row, every seventh none; the first row's and another's are the row's ends."""
    return [losses.NO_TARGET if row % 7 == 3 else row * 228 % ROW for row in range(rows)]


def _cross_entropy(logits: F32, targets: list[int]) -> F32:
    return losses.cross_entropy(logits, np.array(targets))


def _cross_entropy_backward(logits: F32, targets: list[int], scale: float) -> F32:
    loss, gradient = losses.cross_entropy_backward(logits, np.array(targets), scale=scale, out=logits)
    return np.concatenate([loss, gradient.ravel()])


def _cross_entropy_backward_answer(logits: Matrix, targets: list[int], scale: int) -> list[int]:
    rows = list(zip(logits, targets, strict=True))
    gradients = [oracle.cross_entropy_backward(*row, scale) for row in rows]
    return [oracle.cross_entropy(*row) for row in rows] + [element for row in gradients for element in row]


def _loss_sum_operands() -> tuple[F32, F32, list[int]]:
    """Return losses, then others that are -0 where there is a target and +0 where there is none."""
    targets = _targets(N_LOSSES)
    signs = np.array([0.0 if target == losses.NO_TARGET else -0.0 for target in targets], dtype=np.float32)
    return pattern(127, N_LOSSES, low=120, high=132), signs, targets


def _loss_sum(first: F32, second: F32, targets: list[int]) -> F32:
    return np.array([losses.loss_sum(terms, np.array(targets)) for terms in (first, second)], dtype=np.float32)


def _loss_sum_answer(first: list[int], second: list[int], targets: list[int]) -> list[int]:
    return [oracle.loss_sum(terms, targets) for terms in (first, second)]


def _by_rows(operation: Callable[..., Any]) -> Callable[..., list[Any]]:
    return lambda *operands: [operation(*rows) for rows in zip(*operands, strict=True)]


CANARIES = (
    Canary(
        *("N-19", "softmax", lambda: (_logits(118, FEW),), softmax.softmax, _by_rows(oracle.softmax)),
        "05a6ceb533a0d044cd8b47c136be803c755968ff89b1e955284d342f167b2f3c",
    ),
    Canary(
        *("N-19", "log_softmax", lambda: (_logits(119, FEW),), softmax.log_softmax, _by_rows(oracle.log_softmax)),
        "9d5996299687b5df64b37392270a61601299c3cd6339ee6eb45bb222d30b7b64",
    ),
    Canary(
        *("N-19", "softmax_backward", _backward_operands),
        *(softmax.softmax_backward, _by_rows(oracle.softmax_backward)),
        "885a9ae45b078c38fcece84aa60a14eb287613f4d3bce02368f40bfbed55f679",
    ),
    Canary(
        *("N-19", "log_softmax_backward", _log_backward_operands),
        *(softmax.log_softmax_backward, _by_rows(oracle.log_softmax_backward)),
        "96c60931e58fae52c7175932d75735fddda596c136bf43523be4f433499066b4",
    ),
    Canary(
        *("N-19", "cross_entropy", lambda: (_logits(125, FEW), _targets(FEW))),
        *(_cross_entropy, _by_rows(oracle.cross_entropy)),
        "2ed67d19fe58e5e4744adde495bfe86e8e5df10a72088713b01dc1e8499c0f3c",
    ),
    Canary(
        *("N-19", "cross_entropy_backward", lambda: (_logits(126, MANY), _targets(MANY), SCALE)),
        *(_cross_entropy_backward, _cross_entropy_backward_answer),
        "487ff9313e9ef3de0d6f6351265dce819167eec39980d13f3639599894d79ecb",
    ),
    Canary(
        *("N-19", "loss_sum", _loss_sum_operands, _loss_sum, _loss_sum_answer),
        "0d19913f8da79c22f5aed3f96fccef32f4ecd018a2459cd48db9f3c88fd53f4a",
    ),
)
