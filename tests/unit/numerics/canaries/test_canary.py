"""Operands, words and digests of a canary."""

from __future__ import annotations

import numpy as np

from samebits.numerics.canaries.canary import digest, each, pattern, words


def test_the_digest_is_of_bits() -> None:
    zeros = pattern(1, 3) * 0
    assert digest(abs(zeros)) != digest(-abs(zeros))


def test_patterns_are_finite_and_differ_by_seed() -> None:
    first, second = pattern(1, 1000, low=0, high=255), pattern(2, 1000, low=0, high=255)
    assert abs(first).max() < float("inf")
    assert digest(first) != digest(second)


def test_words_are_bit_patterns() -> None:
    assert words(np.array([[1.0, -0.0]], dtype=np.float32)) == [[0x3F800000, 0x80000000]]
    assert words(1.0) == 0x3F800000
    assert words("as it is") == "as it is"


def test_a_scalar_goes_with_every_element() -> None:
    assert each(lambda x, y: 10 * x + y)([1, 2], 3) == [13, 23]
