"""Canaries of powers, roots and norms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from samebits.numerics import powers
from samebits.numerics.arrays import F32
from samebits.numerics.canaries.canary import Canary, each, pattern
from samebits.numerics.canaries.functions import not_negative, with_infinities
from samebits.numerics.oracle import powers as oracle

ROW = 3 * 64 + 37
# Signs, ends and integers: every rule of the clause that is not the formula.
BASES = (0.0, -0.0, 0.0, -0.0, -0.0, -2.0, -2.0, -3.0, -np.inf, -np.inf, -np.inf, np.inf, np.inf, 1.0, -1.0, 0.5, 2.0)
EXPONENTS = (2.5, 3.0, -2.5, -3.0, 2.0, 3.0, -4.0, 2.0, 3.0, -3.0, 0.5, -0.5, 3.5, np.inf, np.inf, np.inf, -np.inf)


def _pow_operands() -> tuple[F32, F32]:
    x, y = np.abs(pattern(65, ROW, low=100, high=150)), pattern(66, ROW, low=120, high=132)
    of_rules = np.array([BASES, EXPONENTS], dtype=np.float32)
    return np.concatenate([x, of_rules[0]]), np.concatenate([y, of_rules[1]])


def _pow_scalar_operands() -> tuple[F32, float]:
    return with_infinities(67), -3.0


def _norm_operand() -> tuple[F32]:
    return (pattern(73, 3, ROW, low=55, high=80),)


def _norms(x: list[list[int]]) -> Sequence[int]:
    return [oracle.vector_norm(row) for row in x]


CANARIES = (
    Canary(
        "N-15",
        "pow",
        _pow_operands,
        powers.pow,
        each(oracle.pow),
        "9dfa96790e20c6091543c461d46995c8d2aec2f8f8c6e6cae79c6b36f267348f",
    ),
    Canary(
        "N-15",
        "pow_scalar",
        _pow_scalar_operands,
        powers.pow,
        each(oracle.pow),
        "8cfeca5647073448193a3b78ac65585223913d39a1027ab41615f1c2d46b612a",
    ),
    Canary(
        "N-15",
        "rsqrt",
        lambda: (not_negative(69),),
        powers.rsqrt,
        each(oracle.rsqrt),
        "a029651f64589031e40cb062b343adcbb5dd15b3f5254a52240325306c7c9ef9",
    ),
    Canary(
        "N-15",
        "reciprocal",
        lambda: (with_infinities(71),),
        powers.reciprocal,
        each(oracle.reciprocal),
        "a9088ea0951e36d6ccd067c0d0268a3fabb9e4e685a24b6087ae991f1c5a8bb1",
    ),
    Canary(
        "N-15",
        "vector_norm",
        _norm_operand,
        powers.vector_norm,
        _norms,
        "89e56463258b16d75c3b6699a8d07ca853fdbb9da1b7cbef942a4a02e150901a",
    ),
)
