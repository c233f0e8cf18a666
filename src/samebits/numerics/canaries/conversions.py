"""Canaries of conversions: every binary16, and float32 of every size with ties among them."""

from __future__ import annotations

import numpy as np

from samebits.numerics import conversions
from samebits.numerics.arrays import F32
from samebits.numerics.canaries.canary import Canary, pattern
from samebits.numerics.oracle import conversions as oracle

ROW = 9 * 64 + 37


def _f32_operand() -> tuple[F32]:
    """Return all sizes of numbers, every second one a tie or next to one."""
    x = pattern(20, ROW, low=0, high=256)
    # Around binary16's least numbers and its greatest.
    x[::3] = pattern(21, ROW, low=100, high=114)[::3]
    x[1::3] = pattern(22, ROW, low=139, high=145)[1::3]
    bits = x.view(np.uint32)
    bits[::4] = bits[::4] & 0xFFFF0000 | 0x8000
    bits[1::4] = bits[1::4] & 0xFFFFE000 | 0x1000
    return (x,)


def _f16_operand() -> tuple[F32]:
    """Return each binary16 in the low half of a float32."""
    return (np.arange(1 << 16, dtype=np.uint32).view(np.float32)[::5],)


def _to_bf16(x: F32) -> F32:
    return conversions.convert_bf16_f32(conversions.convert_f32_bf16(x))


def _to_f16(x: F32) -> F32:
    return conversions.convert_f32_f16(x).view(np.uint16).astype(np.uint32).view(np.float32)


def _from_f16(x: F32) -> F32:
    return conversions.convert_f16_f32(x.view(np.uint32).astype(np.uint16).view(np.float16))


CANARIES = (
    Canary(
        *("N-14", "convert_f32_bf16", _f32_operand, _to_bf16),
        lambda x: [oracle.bf16_to_f32(oracle.f32_to_bf16(word)) for word in x],
        "9af5bc66cf1647a15be4b97fa3370a669e0a2de8e7b557fcfbf06cc176753fc7",
    ),
    Canary(
        *("N-14", "convert_f32_f16", _f32_operand, _to_f16),
        lambda x: [oracle.f32_to_f16(word) for word in x],
        "2607ec94052da2474e9375a296b574c15e7e9291a5fd93cafe1ea38688aedd9b",
    ),
    Canary(
        *("N-14", "convert_f16_f32", _f16_operand, _from_f16),
        lambda x: [oracle.f16_to_f32(word) for word in x],
        "af18787e7aab0b39dcdaf9c86416b2a02f5b2ecdfe00e3d96644ebe340478dc5",
    ),
)
