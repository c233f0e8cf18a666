"""Canaries of matrix products: enough rows and columns that two threads share the work."""

from __future__ import annotations

from samebits.numerics import products
from samebits.numerics.arrays import F32
from samebits.numerics.canaries.canary import Canary, pattern
from samebits.numerics.oracle import products as oracle

M, N, K = 17, 66, 131


def _operands() -> tuple[F32, F32, F32]:
    """Return operands whose chains pass through subnormals, cancellation and big numbers."""
    return pattern(1, M, K, low=50, high=72), pattern(2, K, N, low=50, high=72), pattern(3, N, low=0, high=3)


def _linear(a: F32, b: F32, bias: F32) -> F32:
    return products.linear(a, products.pack(b, layout="kn"), bias)


def _linear_backward(a: F32, b: F32) -> F32:
    return products.linear_backward(a, products.pack(b, layout="nk"))


def _answer(a: list[list[int]], b: list[list[int]], bias: list[int] | None = None) -> list[list[int]]:
    return oracle.mm(a, b, n=N, bias=bias)


CANARIES = (
    Canary(
        *("N-04", "mm", _operands, products.mm, _answer),
        "cf5da78e7d985190c16908e801f93e490f92627a1ca68038d85e4947cf818bc5",
    ),
    Canary(
        *("N-04", "linear", _operands, _linear, _answer),
        "cf5da78e7d985190c16908e801f93e490f92627a1ca68038d85e4947cf818bc5",
    ),
    Canary(
        *("N-04", "linear_backward", lambda: _operands()[:2], _linear_backward, _answer),
        "41c86b3704e0b6afd2cc5039c558e03d32281b10c09aeeda4d99b518cd2928cb",
    ),
)
