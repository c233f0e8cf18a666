"""Known answers of every clause, run when a library loads: a machine that disagrees is refused.

The digests are the oracle's; tools/make_canaries.py prints them, and a test holds them against it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from samebits.errors import NumericsError
from samebits.numerics import elementwise, library, products, reductions
from samebits.numerics.arrays import F32

# Enough that two threads share the work.
M, N, K = 13, 50, 131
ROW = 3 * 64 + 37
# The float32 next to 0.1, said so that no conversion stands between it and the kernel.
TENTH = float.fromhex("0x1.99999ap-4")


@dataclass(frozen=True)
class Canary:
    """One known answer: `run` gives the outputs, `sha256` is the digest of their bytes, little-endian."""

    clause: str
    name: str
    run: Callable[[], F32]
    sha256: str


def pattern(seed: int, *shape: int, low: int = 64, high: int = 190) -> F32:
    """Return float32 numbers made by integers alone, with biased exponents from `low` to `high` - 1."""
    index = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(seed << 32)
    word = index * np.uint64(0x9E3779B97F4A7C15)
    word ^= word >> np.uint64(29)
    word *= np.uint64(0xBF58476D1CE4E5B9)
    word ^= word >> np.uint64(32)
    exponent = np.uint64(low) + (word >> np.uint64(33)) % np.uint64(high - low)
    bits = (word & np.uint64(0x807FFFFF)) | exponent << np.uint64(23)
    return bits.astype(np.uint32).view(np.float32).reshape(shape)


def product_operands() -> tuple[F32, F32, F32]:
    """Return operands whose chains pass through subnormals, cancellation and big numbers."""
    return pattern(1, M, K, low=50, high=72), pattern(2, K, N, low=50, high=72), pattern(3, N, low=0, high=3)


def _mm() -> F32:
    a, b, bias = product_operands()
    return products.mm(a, b, bias)


def _linear() -> F32:
    a, b, bias = product_operands()
    return products.linear(a, products.pack(b, layout="kn"), bias)


def _add_scaled() -> F32:
    return elementwise.add_scaled(pattern(4, ROW, low=110, high=120), pattern(5, ROW, low=110, high=120), TENTH)


def fma_operands() -> tuple[F32, F32, F32]:
    """Return factors and addends of like size, on both sides of the least normal number."""
    return pattern(6, ROW, low=60, high=70), pattern(7, ROW, low=60, high=70), pattern(8, ROW, low=0, high=14)


def _fma() -> F32:
    x, y, out = fma_operands()
    return elementwise.fma(x, y, out=out)


def _div() -> F32:
    return elementwise.div(pattern(9, ROW, low=0, high=255), pattern(10, ROW, low=0, high=255))


def _sqrt() -> F32:
    return elementwise.sqrt(np.abs(pattern(11, ROW, low=0, high=255)))


def _mul() -> F32:
    return elementwise.mul(pattern(12, ROW, low=0, high=120), pattern(13, ROW, low=0, high=120))


def sum_operand() -> F32:
    """Return rows of which the last is all -0: a sum that takes in one +0 too many shows there."""
    x = pattern(14, 3, ROW, low=100, high=127)
    x[-1] = -0.0
    return x


def _sum() -> F32:
    return reductions.sum(sum_operand())


def _amax() -> F32:
    return reductions.amax(-np.abs(pattern(15, 3, ROW)))


def _dot() -> F32:
    return reductions.dot(pattern(16, 3, ROW, low=40, high=80), pattern(17, 3, ROW, low=40, high=80))


CANARIES = (
    Canary("N-01", "mul", _mul, "db0ce30c1ac08acf717b2370414e2a552cb2f748cd0ab3dc63fe8bd8fc68b324"),
    Canary("N-02", "add_scaled", _add_scaled, "0ee76484193739f4663e337730dc561e6872b99980ee05c7f53239e15796ff33"),
    Canary("N-02", "fma", _fma, "9acc6fd82c615739f5996a6cd4f51c5214d76de300135b29b2ef803e79d718f2"),
    Canary("N-04", "mm", _mm, "6f936ea01a944c4b7706ce512708f3046892919cffa285e0af7e09eef1879815"),
    Canary("N-04", "linear", _linear, "6f936ea01a944c4b7706ce512708f3046892919cffa285e0af7e09eef1879815"),
    Canary("N-07", "sum", _sum, "3fb697d850766233e9f339761c42b04604d884f865e74c7a4bcf754221b0a782"),
    Canary("N-07", "amax", _amax, "8787f9fe56f18f88b85377ecdfa8bf536c512a579a671ccbb6d612639d1ec277"),
    Canary("N-07", "dot", _dot, "38f4b291b9c3ad70b0136bf3fe3db69e846d424f728efa5391ccf2f0c50af982"),
    Canary("N-09", "div", _div, "02bde90e63ef83254bf817de498ef647d04e7efffaa734bfe7213b3f4c9434df"),
    Canary("N-09", "sqrt", _sqrt, "60ff3ab97b04a64f7581e18d3e16d0ad8b9c57fc7e1af68ca24a1bc2f9dbbd5d"),
)


def digest(outputs: F32) -> str:
    """Return the SHA-256 of the outputs' little-endian bytes."""
    return hashlib.sha256(np.ascontiguousarray(outputs, dtype="<f4").tobytes()).hexdigest()


def check_canaries() -> None:
    """Run every canary on the library in use, each on one thread and on two.

    Raises:
        NumericsError: an answer differs; nothing computed here can be trusted.
    """
    before = library.threads()
    try:
        for n_threads in (1, 2):
            library.set_threads(n_threads)
            for canary in CANARIES:
                actual = digest(canary.run())
                if actual != canary.sha256:
                    raise NumericsError(
                        f"`{canary.name}` must give clause {canary.clause}'s known answer {canary.sha256[:12]}",
                        got=actual[:12],
                        where=f"{library.loaded().isa}, {n_threads} threads",
                        remedy="set SAMEBITS_ISA=baseline; if that differs too, this machine computes wrongly",
                    )
    finally:
        library.set_threads(before)
