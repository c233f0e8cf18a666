"""Products and packed weights, on the reference and compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics import library, products, products_bf16
from samebits.numerics.arrays import F32
from samebits.numerics.reference.library import reference_library

M, K, N = 3, 37, 5


@pytest.fixture
def operands(numbers: Callable[..., F32]) -> tuple[F32, F32, F32]:
    """a [M, K], b [K, N] and a bias, large numbers left out: a sum of infinities is outside the clauses."""
    a, b, bias = (np.clip(numbers(seed, *shape), -8, 8) for seed, shape in enumerate(((M, K), (K, N), (N,))))
    return a, b, bias


@pytest.mark.parametrize("layout", ["plain", "transposed", "backward rows"])
def test_plain_products(same_on_both: Any, operands: tuple[F32, F32, F32], layout: str) -> None:
    a, b, bias = operands
    if layout == "transposed":
        a, b = np.ascontiguousarray(a.T).T, np.ascontiguousarray(b.T).T
    elif layout == "backward rows":
        a, b = a[::-1], b[::-1]
    same_on_both(lambda: [products.mm(a, b), products.mm(a, b, bias)])
    same_on_both(lambda: products.mm(a, b, out=np.ones((N, M), dtype=np.float32).T, accumulate=True))


@pytest.mark.parametrize("layout", ["nk", "kn"])
def test_packed_products(same_on_both: Any, operands: tuple[F32, F32, F32], layout: Any) -> None:
    a, b, bias = operands
    given = np.ascontiguousarray(b.T) if layout == "nk" else b
    dy = a[:, :N]

    def whole() -> list[F32]:
        weight = products.pack(given, layout=layout)
        onto = np.ones((M, K), dtype=np.float32)
        return [
            *(products.linear(a, weight), products.linear(a, weight, bias), products.linear_backward(dy, weight)),
            products.linear_backward(dy, weight, out=onto, accumulate=True),
        ]

    same_on_both(whole)


@pytest.mark.parametrize("is_f32", [True, False])
def test_products_of_bfloat16(same_on_both: Any, operands: tuple[F32, F32, F32], is_f32: bool) -> None:
    a, b, bias = operands
    left: Any = a if is_f32 else (a.view(np.uint32) >> 16).astype(np.uint16)
    right: Any = b if is_f32 else (b.view(np.uint32) >> 16).astype(np.uint16)

    def whole() -> list[F32]:
        weight = products_bf16.pack_bf16(right, layout="kn")
        onto = np.ones((M, N), dtype=np.float32)
        return [
            products_bf16.linear_bf16(left, weight, bias),
            products_bf16.linear_bf16(left, weight, out=onto, accumulate=True),
            products_bf16.linear_backward_bf16(left[:, :N], weight),
        ]

    same_on_both(whole)


def test_no_steps_and_no_outputs(same_on_both: Any) -> None:
    narrow, flat = np.ones((2, 0), dtype=np.float32), np.ones((0, 3), dtype=np.float32)
    same_on_both(lambda: [products.mm(narrow, flat), products.mm(flat, flat.T), products.mm(narrow.T, narrow)])


def test_a_weight_packed_elsewhere_is_refused(operands: tuple[F32, F32, F32]) -> None:
    a, b, _ = operands
    with library.using(reference_library()):
        weight = products.pack(b, layout="kn")
    with pytest.raises(NumericsError, match=r"`weight` must be packed for \w+, got reference"):
        products.linear(a, weight)
