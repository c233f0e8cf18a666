"""Canaries of elementwise operations."""

from __future__ import annotations

import numpy as np

from samebits.numerics import elementwise
from samebits.numerics.arrays import F32
from samebits.numerics.canaries.canary import Canary, each, pattern
from samebits.numerics.oracle import binary32
from samebits.numerics.oracle import elementwise as oracle
from samebits.numerics.oracle.binary32 import INFINITY, SIGN

ROW = 3 * 64 + 37
# Zeros, the least and the largest, 1 and infinity of either sign.
SPECIAL = (0x00000000, 0x00000001, 0x3F800000, 0x7F7FFFFF, 0x7F800000)
# The float32 next to 0.1, said so that no conversion stands between it and the kernel.
TENTH = float.fromhex("0x1.99999ap-4")


def _add_operands() -> tuple[F32, F32]:
    """Return all pairs of SPECIAL whose sum is a number."""
    signed = [word | sign for word in SPECIAL for sign in (0, SIGN)]
    pairs = [(a, b) for a in signed for b in signed if not (a ^ b == SIGN and a | SIGN == SIGN | INFINITY)]
    first, second = np.array(pairs, dtype=np.uint32).T.copy().view(np.float32)
    return first, second


def _mul_operands() -> tuple[F32, F32]:
    return pattern(12, ROW, low=0, high=120), pattern(13, ROW, low=0, high=120)


def _add_scaled_operands() -> tuple[F32, F32, float]:
    return pattern(4, ROW, low=110, high=120), pattern(5, ROW, low=110, high=120), TENTH


def _fma_operands() -> tuple[F32, F32, F32]:
    """Return factors and addends of like size, on both sides of the least normal number."""
    return pattern(6, ROW, low=60, high=70), pattern(7, ROW, low=60, high=70), pattern(8, ROW, low=0, high=14)


def _fma(x: F32, y: F32, z: F32) -> F32:
    return elementwise.fma(x, y, out=z)


def _div_operands() -> tuple[F32, F32]:
    return pattern(9, ROW, low=0, high=255), pattern(10, ROW, low=0, high=255)


def _sqrt_operand() -> tuple[F32]:
    return (np.abs(pattern(11, ROW, low=0, high=255)),)


CANARIES = (
    Canary(
        *("N-01", "mul", _mul_operands, elementwise.mul, each(binary32.mul)),
        "db0ce30c1ac08acf717b2370414e2a552cb2f748cd0ab3dc63fe8bd8fc68b324",
    ),
    Canary(
        *("N-02", "add_scaled", _add_scaled_operands, elementwise.add_scaled, each(oracle.add_scaled)),
        "0ee76484193739f4663e337730dc561e6872b99980ee05c7f53239e15796ff33",
    ),
    Canary(
        *("N-02", "fma", _fma_operands, _fma, each(binary32.fma)),
        "9acc6fd82c615739f5996a6cd4f51c5214d76de300135b29b2ef803e79d718f2",
    ),
    Canary(
        *("N-03", "add", _add_operands, elementwise.add, each(binary32.add)),
        "830dbc74101e58d97083f608c40d79078e45c2ffc33621d9056f7d1f8be4f1d4",
    ),
    Canary(
        *("N-09", "div", _div_operands, elementwise.div, each(binary32.div)),
        "02bde90e63ef83254bf817de498ef647d04e7efffaa734bfe7213b3f4c9434df",
    ),
    Canary(
        *("N-09", "sqrt", _sqrt_operand, elementwise.sqrt, each(binary32.sqrt)),
        "60ff3ab97b04a64f7581e18d3e16d0ad8b9c57fc7e1af68ca24a1bc2f9dbbd5d",
    ),
)
