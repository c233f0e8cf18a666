"""Canaries of norms: rows of several rounds of the lanes and a part of one, and enough of them for two threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from samebits.numerics import norms
from samebits.numerics.arrays import F32
from samebits.numerics.canaries.canary import Canary, pattern
from samebits.numerics.oracle import norms as oracle
from samebits.numerics.oracle.binary32 import add

ROW = 3 * 64 + 37
FEW, MANY = 3, 72
# The float32 next to 1e-5.
EPS = float.fromhex("0x1.4f8b58p-17")

Matrix = list[list[int]]


def _layer_norm_operands() -> tuple[F32, F32, F32, float]:
    return pattern(101, MANY, ROW, low=118, high=132), pattern(102, ROW), pattern(103, ROW), EPS


def _layer_norm(x: F32, weight: F32, bias: F32, eps: float) -> F32:
    return _joined(*norms.layer_norm(x, weight, bias, eps=eps))


def _layer_norm_answer(x: Matrix, weight: list[int], bias: list[int], eps: int) -> list[int]:
    return _joined_words([oracle.layer_norm(row, weight, bias, eps) for row in x])


def _plain_operand() -> tuple[F32, float]:
    """Return small rows, so that eps counts; of the last, all -0, a mean that took in one +0 would turn the sign."""
    x = pattern(104, FEW, ROW, low=110, high=122)
    x[-1] = -0.0
    return x, EPS


def _plain(x: F32, eps: float) -> F32:
    return _joined(*norms.layer_norm(x, eps=eps))


def _plain_answer(x: Matrix, eps: int) -> list[int]:
    return _joined_words([oracle.layer_norm(row, None, None, eps) for row in x])


def _rms_norm_operands() -> tuple[F32, F32, float]:
    return pattern(105, FEW, ROW, low=110, high=122), pattern(106, ROW), EPS


def _rms_norm(x: F32, weight: F32, eps: float) -> F32:
    return _joined(*norms.rms_norm(x, weight, eps=eps))


def _rms_norm_answer(x: Matrix, weight: list[int], eps: int) -> list[int]:
    return _joined_words([oracle.rms_norm(row, weight, eps) for row in x])


def _backward_operands() -> tuple[F32, F32, F32, F32, F32, F32]:
    """Return dy, x, means, inverse deviations, weight, and what the gradient is added to."""
    return *_rows(107, FEW), pattern(111, ROW, low=120, high=130), pattern(112, FEW, ROW, low=118, high=132)


def _layer_norm_backward(dy: F32, x: F32, mean: F32, rstd: F32, weight: F32, onto: F32) -> F32:
    plain = norms.layer_norm_backward(dy, x, mean, rstd)
    return _joined(plain, norms.layer_norm_backward(dy, x, mean, rstd, weight, out=onto, accumulate=True))


def _layer_norm_backward_answer(dy: Matrix, x: Matrix, *others: Any) -> list[int]:
    mean, rstd, weight, onto = others
    rows = list(zip(dy, x, mean, rstd, strict=True))
    plain = [element for row in rows for element in oracle.layer_norm_backward(*row, None)]
    weighted = [element for row in rows for element in oracle.layer_norm_backward(*row, weight)]
    return plain + _onto(onto, weighted)


def _rms_norm_backward_operands() -> tuple[F32, F32, F32, F32, F32]:
    dy, x, _, rstd, weight, onto = _backward_operands()
    return dy, x, rstd, weight, onto


def _rms_norm_backward(dy: F32, x: F32, rstd: F32, weight: F32, onto: F32) -> F32:
    return norms.rms_norm_backward(dy, x, rstd, weight, out=onto, accumulate=True)


def _rms_norm_backward_answer(dy: Matrix, x: Matrix, rstd: list[int], weight: list[int], onto: Matrix) -> list[int]:
    rows = zip(dy, x, rstd, strict=True)
    return _onto(onto, [element for row in rows for element in oracle.rms_norm_backward(*row, weight)])


def _layer_norm_backward_weight(dy: F32, x: F32, mean: F32, rstd: F32) -> F32:
    return _joined(*norms.layer_norm_backward_weight(dy, x, mean, rstd))


def _layer_norm_backward_weight_answer(dy: Matrix, x: Matrix, *statistics: list[int]) -> list[int]:
    columns = zip(zip(*dy, strict=True), zip(*x, strict=True), strict=True)
    pairs = [oracle.layer_norm_backward_weight(*column, *statistics) for column in columns]
    return [weight for weight, _ in pairs] + [bias for _, bias in pairs]


def _rms_norm_backward_weight_answer(dy: Matrix, x: Matrix, rstd: list[int]) -> list[int]:
    columns = zip(zip(*dy, strict=True), zip(*x, strict=True), strict=True)
    return [oracle.rms_norm_backward_weight(*column, rstd) for column in columns]


def _rms_norm_backward_weight_operands() -> tuple[F32, F32, F32]:
    dy, x, _, rstd = _rows(113, FEW)
    return dy, x, rstd


def _rows(seed: int, rows: int) -> tuple[F32, F32, F32, F32]:
    """Return dy, x, means and inverse deviations that need belong to no forward pass.

    The last row of dy is all -0: a sum that takes in one +0 too many shows there.
    """
    dy, x = (pattern(seed + place, rows, ROW, low=118, high=132) for place in (0, 1))
    dy[-1] = -0.0
    return dy, x, pattern(seed + 2, rows, low=118, high=126), np.abs(pattern(seed + 3, rows, low=124, high=130))


def _joined(*outputs: F32) -> F32:
    return np.concatenate([output.ravel() for output in outputs])


def _joined_words(rows: list[tuple[Any, ...]]) -> list[int]:
    outputs, *statistics = zip(*rows, strict=True)
    return [element for row in (*outputs, *statistics) for element in row]


def _onto(onto: Matrix, terms: list[int]) -> list[int]:
    return [add(*each) for each in zip((element for row in onto for element in row), terms, strict=True)]


CANARIES = (
    Canary(
        *("N-18", "layer_norm", _layer_norm_operands, _layer_norm, _layer_norm_answer),
        "87f2d3f539b225980a594e7e5eeffcf6f82d1facc341192456d48e5b05ae9047",
    ),
    Canary(
        *("N-18", "layer_norm", _plain_operand, _plain, _plain_answer),
        "71bd94c79ee7f83ed8d069d8df0c360705b67b74d5dd3d6871f99dfa2b6551f5",
    ),
    Canary(
        *("N-18", "rms_norm", _rms_norm_operands, _rms_norm, _rms_norm_answer),
        "8fa759757788deef22b465e4a54b494a23290f0f678d0c52688a5fc155161508",
    ),
    Canary(
        *("N-18", "layer_norm_backward", _backward_operands, _layer_norm_backward, _layer_norm_backward_answer),
        "d04108a71730c82ee6677fd32fb51e31d3adc5a366824490f19e992d160ec1d4",
    ),
    Canary(
        *("N-18", "rms_norm_backward", _rms_norm_backward_operands, _rms_norm_backward, _rms_norm_backward_answer),
        "3a15c5beb26dbcae8fea7dddd5cce18f26b36b1aecbca7127f80763a2d8d1b0d",
    ),
    Canary(
        *("N-18", "layer_norm_backward_weight", lambda: _rows(115, MANY)),
        *(_layer_norm_backward_weight, _layer_norm_backward_weight_answer),
        "390df2dfc356f00d717a9ae9802a615dcf2505e6bf150545764b7c2b188a65ee",
    ),
    Canary(
        *("N-18", "rms_norm_backward_weight", _rms_norm_backward_weight_operands),
        *(norms.rms_norm_backward_weight, _rms_norm_backward_weight_answer),
        "c363e261ec8c485039a1e71079025b101ef7e7a10ed3bcb05742ab04895d4d69",
    ),
)
