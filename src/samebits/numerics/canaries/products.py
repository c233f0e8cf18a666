"""Canaries of matrix products: enough rows and columns that two threads share the work."""

from __future__ import annotations

from samebits.numerics import products
from samebits.numerics.arrays import F32
from samebits.numerics.canaries.canary import Canary, pattern
from samebits.numerics.oracle import products as oracle

M, N, K = 13, 50, 131


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
        "6f936ea01a944c4b7706ce512708f3046892919cffa285e0af7e09eef1879815",
    ),
    Canary(
        *("N-04", "linear", _operands, _linear, _answer),
        "6f936ea01a944c4b7706ce512708f3046892919cffa285e0af7e09eef1879815",
    ),
    Canary(
        *("N-04", "linear_backward", lambda: _operands()[:2], _linear_backward, _answer),
        "112facac5bdf536e2466184198c6ee29ba2de5078e26535c16299d6b9bd0fd18",
    ),
)
