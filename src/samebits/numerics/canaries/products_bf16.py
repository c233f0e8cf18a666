"""Canaries of bfloat16 products: chains that are flushed, and chains that never come near it."""

from __future__ import annotations

import numpy as np

from samebits.numerics import products_bf16
from samebits.numerics.arrays import F32
from samebits.numerics.canaries.canary import Canary, pattern
from samebits.numerics.oracle import products_bf16 as oracle
from samebits.numerics.oracle.conversions import f32_to_bf16

M, N, K = 17, 66, 131


def _tiny_operands() -> tuple[F32, F32, F32]:
    """Return operands whose chains pass through what is flushed, on the way and at the end."""
    a, b, bias = pattern(23, M, K, low=50, high=72), pattern(24, K, N, low=50, high=72), pattern(25, N, low=0, high=3)
    # Subnormal operands, which count as zeros however great their partners are.
    a[:, ::7], b[::7] = pattern(26, M, K, low=0, high=1)[:, ::7], pattern(27, K, N, low=190, high=200)[::7]
    # 2^-126 less one and a half times 2^-151 is flushed; less 2^-151 it is rounded up to 2^-126 and stays.
    a[:2], b[:, 0] = 0.0, 0.0
    a[:2, 0], b[0, 0] = 1.0, 2.0**-126
    a[0, 2], a[1, 2], b[2, 0] = -1.5 * 2.0**-70, -(2.0**-70), 2.0**-81
    return a, b, bias


def _plain_operands() -> tuple[F32, F32]:
    return pattern(28, M, K, low=110, high=130), pattern(29, K, N, low=110, high=130)


def _linear(a: F32, b: F32, bias: F32 | None = None) -> F32:
    weight = products_bf16.pack_bf16(np.ascontiguousarray(b.T), layout="nk")
    return products_bf16.linear_bf16(a, weight, bias)


def _linear_backward(a: F32, b: F32) -> F32:
    return products_bf16.linear_backward_bf16(a, products_bf16.pack_bf16(b, layout="nk"))


def _narrow(matrix: list[list[int]]) -> list[list[int]]:
    return [[f32_to_bf16(word) for word in row] for row in matrix]


def _answer(a: list[list[int]], b: list[list[int]], bias: list[int] | None = None) -> list[list[int]]:
    return oracle.linear_bf16(_narrow(a), _narrow(b), n=N, bias=bias)


CANARIES = (
    Canary(
        *("N-05", "linear_bf16", _tiny_operands, _linear, _answer),
        "7492d6e6f5fcff0ba68a337e53283b8dd09b43555ffd949ade0fe2d0fecea5fa",
    ),
    Canary(
        *("N-05", "linear_bf16_plain", _plain_operands, _linear, _answer),
        "18b61f97ff4416332b6754b68635cd498160b6ad460e4a29fa896b5770f86665",
    ),
    Canary(
        *("N-05", "linear_backward_bf16", _plain_operands, _linear_backward, _answer),
        "18b61f97ff4416332b6754b68635cd498160b6ad460e4a29fa896b5770f86665",
    ),
)
