"""Operands at an address: strides of either sign, none, and nothing at all."""

from __future__ import annotations

import numpy as np
import pytest

from samebits.numerics.arrays import F32, pointer
from samebits.numerics.oracle.binary32 import ONE
from samebits.numerics.reference.memory import HALF, INDEX, memory, optional_words, pattern, put, rows_of, vector

WORDS = np.arange(24, dtype=np.uint32).reshape(4, 6)


def _at(array: np.ndarray) -> int:  # type: ignore[type-arg]
    return int(array.__array_interface__["data"][0])


@pytest.mark.parametrize(
    "view",
    [WORDS, WORDS.T, WORDS[::2], WORDS[::-1, 1:4], WORDS[::-1, ::-1], np.broadcast_to(WORDS[0], (3, 6)), WORDS[:0]],
)
def test_every_layout_is_read(view: np.ndarray) -> None:  # type: ignore[type-arg]
    axes = [(length, stride // 4) for length, stride in zip(view.shape, view.strides, strict=True)]
    assert memory(_at(view), *axes).tolist() == view.tolist()


def test_other_types_are_read() -> None:
    halves, indices = np.array([1, 65535], dtype=np.uint16), np.array([-100, 2**40])
    assert vector(_at(halves), 2, HALF).tolist() == [1, 65535]
    assert vector(_at(indices), 2, INDEX).tolist() == [-100, 2**40]


def test_what_is_put_is_in_the_callers_memory_and_nothing_beside_it() -> None:
    room = np.zeros((3, 4), dtype=np.uint32)
    put(rows_of(_at(room), 3, 2, 4), [[1, 2], [3, 4], [5, 6]])
    assert room.tolist() == [[1, 2, 0, 0], [3, 4, 0, 0], [5, 6, 0, 0]]


def test_what_is_put_can_be_added_by_one_rounded_addition() -> None:
    held: F32 = np.array([1.0, 2.0**24], dtype=np.float32)
    put(vector(pointer(held), 2), [ONE, ONE], accumulate=True)
    assert held.tolist() == [2.0, 2.0**24]


def test_nothing_has_no_address() -> None:
    put(memory(None, (0, 1), (5, 1)), [])
    put(memory(None, (2, 1), (0, 1)), [[], []])
    assert optional_words(None, 3) is None


def test_a_scalar_is_its_pattern() -> None:
    assert [pattern(x) for x in (1.0, -0.0, float("inf"))] == [0x3F800000, 0x80000000, 0x7F800000]
