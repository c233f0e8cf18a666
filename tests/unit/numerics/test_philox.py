"""How the words are delivered; that they are Philox's is tested by tests/spec/test_philox.py."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from samebits.numerics.philox import philox4x32, philox4x32_range

WORD = st.integers(0, 2**32 - 1)


@given(
    start=st.integers(0, 2**64 - 100),
    n_blocks=st.integers(0, 20),
    high=st.tuples(WORD, WORD),
    key=st.tuples(WORD, WORD),
)
def test_a_range_is_what_its_counters_give(
    start: int, n_blocks: int, high: tuple[int, int], key: tuple[int, int]
) -> None:
    counters = np.array([[i % 2**32, i >> 32, *high] for i in range(start, start + n_blocks)], dtype=np.uint32)
    actual = philox4x32_range(start, n_blocks, high, key)
    assert actual.tolist() == philox4x32(counters.reshape(-1, 4), key).tolist()


def test_words_are_new_contiguous_and_32_bits_wide() -> None:
    counters = np.arange(80, dtype=np.uint32).reshape(10, 8)[:, ::2]
    before = counters.copy()
    words = philox4x32(counters, (1, 2))
    assert (words.dtype, words.shape, words.flags.c_contiguous) == (np.dtype(np.uint32), (10, 4), True)
    assert not np.shares_memory(words, counters)
    assert np.array_equal(counters, before)
    assert np.array_equal(words, philox4x32(np.ascontiguousarray(counters), (1, 2)))


def test_every_word_of_counter_and_key_reaches_the_words() -> None:
    seen = {philox4x32(np.zeros((1, 4), np.uint32), key).tobytes() for key in ((0, 0), (1, 0), (0, 1))}
    for column in range(4):
        counter = np.zeros((1, 4), dtype=np.uint32)
        counter[0, column] = 1
        seen.add(philox4x32(counter, (0, 0)).tobytes())
    assert len(seen) == 7
