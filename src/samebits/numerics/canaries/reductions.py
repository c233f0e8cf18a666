"""Canaries of reductions: rows of several rounds of the lanes and a part of one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from samebits.numerics import reductions
from samebits.numerics.arrays import F32
from samebits.numerics.canaries.canary import Canary, pattern
from samebits.numerics.oracle import reductions as oracle

ROW = 3 * 64 + 37


def _sum_operand() -> tuple[F32]:
    """Return rows of which the last is all -0: a sum that takes in one +0 too many shows there."""
    x = pattern(14, 3, ROW, low=100, high=127)
    x[-1] = -0.0
    return (x,)


def _amax_operand() -> tuple[F32]:
    return (-np.abs(pattern(15, 3, ROW)),)


def _dot_operands() -> tuple[F32, F32]:
    return pattern(16, 3, ROW, low=40, high=80), pattern(17, 3, ROW, low=40, high=80)


def _by_rows(operation: Callable[..., int]) -> Callable[..., list[int]]:
    return lambda *operands: [operation(*rows) for rows in zip(*operands, strict=True)]


CANARIES = (
    Canary(
        *("N-07", "sum", _sum_operand, reductions.sum, _by_rows(oracle.sum_of)),
        "3fb697d850766233e9f339761c42b04604d884f865e74c7a4bcf754221b0a782",
    ),
    Canary(
        *("N-07", "amax", _amax_operand, reductions.amax, _by_rows(oracle.amax)),
        "8787f9fe56f18f88b85377ecdfa8bf536c512a579a671ccbb6d612639d1ec277",
    ),
    Canary(
        *("N-07", "dot", _dot_operands, reductions.dot, _by_rows(oracle.dot)),
        "38f4b291b9c3ad70b0136bf3fe3db69e846d424f728efa5391ccf2f0c50af982",
    ),
)
