"""Every library of this platform, and arrays that are hard on arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest

from samebits.numerics import library
from samebits.numerics.arrays import F32
from samebits.numerics.library import Library

KINDS = ("plain", "subnormal", "cancelling", "overflowing", "special", "any bits")
SPECIAL_BITS = (0, 0x80000000, 1, 0x80000001, 0x007FFFFF, 0x00800000, 0x3F800000, 0xBF800000, 0x7F7FFFFF, 0xFF7FFFFF)


@cache
def opened(isa: str) -> Library:
    return library.open_library(isa)


@pytest.fixture(params=(1, 2, 3, 8))
def n_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = library.threads()
    library.set_threads(request.param)
    yield request.param
    library.set_threads(before)


def _numbers(kind: str, seed: int, *shape: int) -> F32:
    generator = np.random.default_rng([seed, *shape])
    if kind == "plain":
        return generator.standard_normal(shape).astype(np.float32)
    if kind == "special":
        return generator.choice(np.array(SPECIAL_BITS, dtype=np.uint32), shape).view(np.float32)
    bits = generator.integers(0, 2**32, shape, dtype=np.uint32)
    if kind == "cancelling":
        return (bits & 0x80000007 | 0x3F800000).view(np.float32)
    if kind == "any bits":
        bits = np.where(bits & 0x7F800000 == 0x7F800000, bits & 0xBFFFFFFF, bits)
        return bits.astype(np.uint32).view(np.float32)
    low, high = (40, 66) if kind == "subnormal" else (185, 200)
    exponent = generator.integers(low, high, shape, dtype=np.uint32)
    return (bits & np.uint32(0x807FFFFF) | exponent << np.uint32(23)).view(np.float32)


@pytest.fixture(scope="session")
def numbers() -> Callable[..., F32]:
    """`numbers(kind, seed, *shape)`: float32 of one of KINDS; none is NaN."""
    return _numbers


def _placed(array: F32, gap: int, offset: int) -> F32:
    # NaN all around: an element too many would show.
    rows, n = array.shape
    room = np.full(offset + rows * (n + gap) + 1, np.nan, dtype=np.float32)
    view = room[offset : offset + rows * (n + gap)].reshape(rows, n + gap)[:, :n]
    view[...] = array
    return view


@pytest.fixture(scope="session")
def placed() -> Callable[[F32, int, int], F32]:
    """`placed(matrix, gap, offset)`: a copy whose rows lie `gap` elements apart, `offset` from a buffer's start."""
    return _placed


def _words(array: F32) -> list[int]:
    bits = np.ascontiguousarray(array).view(np.uint32).copy()
    bits[np.isnan(np.ascontiguousarray(array))] = 0x7FC00000
    return bits.tolist()


@pytest.fixture(scope="session")
def words() -> Callable[[F32], list[int]]:
    """`words(array)`: its elements as 32-bit patterns, nested as its shape is; all NaNs are one (N-03)."""
    return _words
