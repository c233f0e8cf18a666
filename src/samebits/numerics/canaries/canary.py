"""What a canary is: operands made by integers alone, a kernel, the oracle's function and the digest of its answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samebits.numerics.arrays import F32


@dataclass(frozen=True)
class Canary:
    """One known answer.

    Args:
        clause: of docs/spec/numerics.md.
        name: of the operation.
        operands: makes the arguments: float32 arrays, and scalars that are float32 values.
        run: gives the outputs of the kernel from the operands.
        answer: gives the oracle's outputs, 32-bit words in the order of `run`'s elements, from the operands as `words`
            makes them.
        sha256: digest of the outputs' little-endian bytes, as tools/make_canaries.py prints it from `answer`.
    """

    clause: str
    name: str
    operands: Callable[[], tuple[Any, ...]]
    run: Callable[..., F32]
    answer: Callable[..., Sequence[Any]]
    sha256: str

    def actual_sha256(self) -> str:
        """Return the digest of what the library in use computes."""
        return digest(self.run(*self.operands()))

    def expected_sha256(self) -> str:
        """Return the digest of what the oracle computes."""
        answer = np.array(self.answer(*map(words, self.operands())), dtype=np.uint32)
        return digest(answer.view(np.float32))


def digest(outputs: F32) -> str:
    """Return the SHA-256 of the outputs' little-endian bytes."""
    return hashlib.sha256(np.ascontiguousarray(outputs, dtype="<f4").tobytes()).hexdigest()


def words(operand: Any) -> Any:
    """Return a float32 array as nested lists of 32-bit patterns, a float as one pattern, anything else as it is."""
    if isinstance(operand, float):
        return int(np.float32(operand).view(np.uint32))
    return operand.view(np.uint32).tolist() if isinstance(operand, np.ndarray) else operand


def each(operation: Callable[..., int]) -> Callable[..., list[int]]:
    """Return the oracle's `operation` applied to vectors, element by element; a scalar goes with every element."""

    def answer(*operands: list[int] | int) -> list[int]:
        n = max(len(operand) for operand in operands if isinstance(operand, list))
        columns = [operand if isinstance(operand, list) else [operand] * n for operand in operands]
        return [operation(*elements) for elements in zip(*columns, strict=True)]

    return answer


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
