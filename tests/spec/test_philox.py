"""Philox4x32-10 against Random123's known answers and against plain Python integers."""

from __future__ import annotations

import numpy as np
import pytest

from samebits.numerics import philox
from samebits.numerics.philox import philox4x32, philox4x32_range

# Random123, tests/kat_vectors, the lines `philox4x32 10`: counter, key, expected.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words_of(text: str) -> tuple[int, ...]:
    return tuple(int(word, 16) for word in text.split())


def philox4x32_in_integers(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """The definition, one block at a time; shares nothing with the module under test."""
    c, k = list(counter), list(key)
    for _ in range(10):
        left, right = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(right >> 32) ^ c[1] ^ k[0], right % 2**32, (left >> 32) ^ c[3] ^ k[1], left % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return tuple(c)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_known_answers(counter: str, key: str, expected: str) -> None:
    key0, key1 = words_of(key)
    actual = philox4x32(np.array([words_of(counter)], dtype=np.uint32), (key0, key1))
    assert tuple(int(word) for word in actual[0]) == words_of(expected)
    assert philox4x32_in_integers(words_of(counter), words_of(key)) == words_of(expected)


def test_random_counters_agree_with_plain_integers() -> None:
    generator = np.random.default_rng(20261122)
    counters = generator.integers(0, 2**32, size=(500, 4), dtype=np.uint32)
    before = counters.copy()
    for key in ((0, 1), (0xFFFFFFFF, 0), (0x12345678, 0x9ABCDEF0)):
        actual = philox4x32(counters, key)
        expected = [philox4x32_in_integers(tuple(map(int, counter)), key) for counter in counters]
        assert actual.tolist() == [list(words) for words in expected]
    assert np.array_equal(counters, before)


def test_a_wrong_multiplier_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(philox, "MULTIPLIERS", (0xD2511F53, 0xCD9E8D59))
    actual = philox4x32(np.zeros((1, 4), dtype=np.uint32), (0, 0))
    assert tuple(int(word) for word in actual[0]) != words_of(KNOWN_ANSWERS[0][2])


@pytest.mark.parametrize("start", [0, 5, 2**32 - 3, 2**40 + 1])
def test_a_range_is_its_counters(start: int) -> None:
    expected = [philox4x32_in_integers(((start + i) % 2**32, (start + i) >> 32, 7, 8), (9, 10)) for i in range(50)]
    assert philox4x32_range(start, 50, (7, 8), (9, 10)).tolist() == [list(words) for words in expected]


def test_chunks_do_not_reach_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = philox4x32_range(2**32 - 20, 100, (1, 2), (3, 4))
    index = np.arange(100, dtype=np.uint64) + np.uint64(2**32 - 20)
    counters = np.stack([index % 2**32, index >> 32, np.full(100, 1), np.full(100, 2)], axis=1).astype(np.uint32)
    for size in (1, 7, 99, 100, 101):
        monkeypatch.setattr(philox, "CHUNK_BLOCKS", size)
        assert np.array_equal(philox4x32_range(2**32 - 20, 100, (1, 2), (3, 4)), whole)
        assert np.array_equal(philox4x32(counters, (3, 4)), whole)


def test_no_counters_no_words() -> None:
    assert philox4x32(np.empty((0, 4), dtype=np.uint32), (0, 0)).shape == (0, 4)
    assert philox4x32_range(0, 0, (0, 0), (0, 0)).shape == (0, 4)


def test_big_endian_arrays_give_the_same_words() -> None:
    counter = np.array([words_of(KNOWN_ANSWERS[2][0])])
    key0, key1 = words_of(KNOWN_ANSWERS[2][1])
    assert np.array_equal(
        philox4x32(counter.astype(">u4"), (key0, key1)), philox4x32(counter.astype("<u4"), (key0, key1))
    )
