"""The oracle's words and roundings by hand; tests/oracle holds every kernel against these functions."""

from __future__ import annotations

from fractions import Fraction

import pytest

from samebits.numerics.oracle.binary32 import ONE, SIGN
from samebits.numerics.oracle.random import (
    Fields,
    dropout,
    nearest,
    nearest_inverse_root,
    number,
    philox,
    uniform,
    word,
)


def test_words_come_in_blocks_of_four() -> None:
    fields = Fields(seed=2**32 + 5, purpose=1, step=2, sample=3, tensor=4)
    block = philox((7, 3, 2, 0x01010004), (5, 1))
    assert [word(fields, 28 + i) for i in range(4)] == list(block)
    assert word(fields, 4 * 2**32) == philox((0, 3, 2**24 + 2, 0x01010004), (5, 1))[0]


def test_the_threshold_keeps() -> None:
    assert dropout(ONE, 2**31, Fraction(1, 2)) == 0x40000000
    assert dropout(ONE, 2**31 - 1, Fraction(1, 2)) == 0
    assert dropout(SIGN, 2**32 - 1, Fraction(1)) == 0
    assert dropout(SIGN, 0, Fraction(0)) == SIGN


def test_the_ends_of_the_interval() -> None:
    assert uniform(0xFF, 1) == SIGN | ONE
    assert uniform(0xFFFFFFFF, 1) == 0x3F7FFFFE
    assert uniform(0x80000000, 9) == 0


@pytest.mark.parametrize(
    ("x", "pattern"),
    [
        *((Fraction(1), ONE), (Fraction(-1, 3), 0xBEAAAAAB), (Fraction(1, 2**150), 0)),
        *((Fraction(16777217), 0x4B800000), (Fraction(16777219), 0x4B800002), (Fraction(10**40), 0x7F800000)),
    ],
)
def test_nearest(x: Fraction, pattern: int) -> None:
    assert nearest(x) == pattern


def test_inverse_roots_and_values() -> None:
    assert [nearest_inverse_root(n) for n in (1, 2, 3, 16)] == [ONE, 0x3F3504F3, 0x3F13CD3A, 0x3E800000]
    assert number(1) == Fraction(1, 2**149)
    assert number(0x40490FDB) == Fraction(0xC90FDB, 2**22)
