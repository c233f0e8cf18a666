"""Operands where the caller of a kernel keeps them, seen as patterns: what the oracle computes on."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from samebits.numerics.oracle.binary32 import add

WORD, HALF, INDEX = np.dtype(np.uint32), np.dtype(np.uint16), np.dtype(np.int64)

Patterns = np.ndarray[Any, Any]
Axis = tuple[int, int]


def memory(address: int | None, *axes: Axis, dtype: np.dtype[Any] = WORD) -> Patterns:
    """Return the caller's own memory as an array, to be read and written.

    Args:
        address: of the first element; anything where there is no element.
        axes: length and stride of each axis, in elements; a stride may be negative or 0.
        dtype: the patterns of float32, of a 16-bit format, or whole numbers.
    """
    shape = tuple(length for length, _ in axes)
    if 0 in shape or address is None:
        return np.empty(shape, dtype=dtype)
    reach = [(length - 1) * stride * dtype.itemsize for length, stride in axes]
    below, above = (sum(pick(0, bytes_away) for bytes_away in reach) for pick in (min, max))
    buffer: Any = (ctypes.c_char * (above - below + dtype.itemsize)).from_address(address + below)
    strides = tuple(stride * dtype.itemsize for _, stride in axes)
    return np.ndarray(shape, dtype=dtype, buffer=buffer, offset=-below, strides=strides)


def vector(address: int | None, n: int, dtype: np.dtype[Any] = WORD) -> Patterns:
    """Return `n` elements that lie one after another."""
    return memory(address, (n, 1), dtype=dtype)


def rows_of(address: int, rows: int, n: int, stride: int) -> Patterns:
    """Return [rows, n] whose rows are contiguous and `stride` elements apart."""
    return memory(address, (rows, stride), (n, 1))


def optional_words(address: int | None, n: int) -> list[int] | None:
    """Return a vector's patterns; None where the address is null."""
    return None if address is None else vector(address, n).tolist()


def put(place: Patterns, words: Any, *, accumulate: int = False) -> None:
    """Write nested lists of patterns; with `accumulate` add them to what is there, each by one addition."""
    new = np.array(words, dtype=place.dtype).reshape(place.shape)
    if accumulate:
        pairs = zip(place.ravel().tolist(), new.ravel().tolist(), strict=True)
        new = np.array([add(held, word) for held, word in pairs], dtype=place.dtype).reshape(place.shape)
    place[...] = new


def pattern(scalar: float) -> int:
    """Return the pattern of a float32 that is handed over by value."""
    return int(np.float32(scalar).view(np.uint32))
