"""Print the canaries' digests as the oracle computes them; src/samebits/numerics/canaries.py holds them.

python tools/make_canaries.py
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

import numpy as np

from samebits.numerics import canaries, oracle
from samebits.numerics.arrays import F32
from samebits.numerics.canaries import ROW, pattern


def bits(array: F32) -> list[int]:
    """Return a vector's elements as 32-bit patterns."""
    return [int(word) for word in array.view(np.uint32)]


def rows(array: F32) -> list[list[int]]:
    """Return a matrix's rows as 32-bit patterns."""
    return [bits(row) for row in array]


def _product() -> Iterable[int]:
    a, b, bias = canaries.product_operands()
    return [word for row in oracle.mm(rows(a), rows(b), n=canaries.N, bias=bits(bias)) for word in row]


def _each(operation: Callable[..., int], *operands: F32) -> Iterable[int]:
    return [operation(*elements) for elements in zip(*map(bits, operands), strict=True)]


def answers() -> dict[str, Iterable[int]]:
    """Return each canary's outputs by name, computed by the oracle."""
    tenth = np.full(ROW, canaries.TENTH, dtype=np.float32)
    addends = (pattern(4, ROW, low=110, high=120), pattern(5, ROW, low=110, high=120))
    wide = {"low": 0, "high": 255}
    dot_operands = (pattern(16, 3, ROW, low=40, high=80), pattern(17, 3, ROW, low=40, high=80))
    return {
        "mul": _each(oracle.mul, pattern(12, ROW, low=0, high=120), pattern(13, ROW, low=0, high=120)),
        "add_scaled": _each(oracle.add_scaled, *addends, tenth),
        "fma": _each(oracle.fma, *canaries.fma_operands()),
        "mm": _product(),
        "linear": _product(),
        "sum": [oracle.sum_of(row) for row in rows(canaries.sum_operand())],
        "amax": [oracle.amax(row) for row in rows(-np.abs(pattern(15, 3, ROW)))],
        "dot": [oracle.dot(x, y) for x, y in zip(*map(rows, dot_operands), strict=True)],
        "div": _each(oracle.div, pattern(9, ROW, **wide), pattern(10, ROW, **wide)),
        "sqrt": _each(oracle.sqrt, np.abs(pattern(11, ROW, **wide))),
    }


def digests() -> dict[str, str]:
    """Return each canary's digest by name."""
    return {
        name: hashlib.sha256(b"".join(word.to_bytes(4, "little") for word in words)).hexdigest()
        for name, words in answers().items()
    }


if __name__ == "__main__":
    for name, sha256 in digests().items():
        print(f"{name:12} {sha256}")
