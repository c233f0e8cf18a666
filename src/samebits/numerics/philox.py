"""Philox4x32-10: random words that are a function of a counter and a key, with no state in between.

Word values, not bytes, are the interface: the same numbers on a big-endian machine.

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011; the constants are those
of Random123's philox.h.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Words = np.ndarray[Any, np.dtype[np.uint32]]

N_ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
WORD_MASK = 0xFFFFFFFF

# Six lanes of 64-bit integers of this length stay in the nearest caches. Chunks never reach the bits.
CHUNK_BLOCKS = 8192


def philox4x32(counter: Words, key: tuple[int, int]) -> Words:
    """Return the four random words of each counter.

    Args:
        counter: [n, 4] uint32, the least significant word first; not modified.
        key: two 32-bit words.
    Returns:
        [n, 4] uint32, newly allocated.
    Source: Salmon et al., SC 2011; known answers in tests/spec/test_philox.py.
    """
    words = np.empty(counter.shape, dtype=np.uint32)
    for start in range(0, len(counter), CHUNK_BLOCKS):
        chunk = counter[start : start + CHUNK_BLOCKS]
        lanes = [np.ascontiguousarray(chunk[:, column], dtype=np.uint64) for column in range(4)]
        for column, lane in enumerate(_rounds(lanes, key)):
            words[start : start + CHUNK_BLOCKS, column] = lane
    return words


def philox4x32_range(start: int, n_blocks: int, high: tuple[int, int], key: tuple[int, int]) -> Words:
    """Return the words of consecutive counters: [start + i as two words, *high], i below `n_blocks`.

    Args:
        start: the first counter's low 64 bits.
        high: the counter's two high words, the same for every block.
    Returns:
        [n_blocks, 4] uint32, newly allocated: what `philox4x32` gives for these counters, sooner.
    """
    words = np.empty((n_blocks, 4), dtype=np.uint32)
    for offset in range(0, n_blocks, CHUNK_BLOCKS):
        size = min(CHUNK_BLOCKS, n_blocks - offset)
        index = np.arange(size, dtype=np.uint64) + np.uint64(start + offset)
        lanes = [index & WORD_MASK, index >> np.uint64(32), *(np.full(size, word, dtype=np.uint64) for word in high)]
        for column, lane in enumerate(_rounds(lanes, key)):
            words[offset : offset + size, column] = lane
    return words


def _rounds(lanes: list[np.ndarray[Any, Any]], key: tuple[int, int]) -> tuple[np.ndarray[Any, Any], ...]:
    """Run the ten rounds on four uint64 lanes that hold 32-bit words, in place."""
    c0, c1, c2, c3 = lanes
    product0, product1 = np.empty_like(c0), np.empty_like(c0)
    key0, key1 = key
    for _ in range(N_ROUNDS):
        np.multiply(c0, np.uint64(MULTIPLIERS[0]), out=product0)
        np.multiply(c2, np.uint64(MULTIPLIERS[1]), out=product1)
        # The halves cross over: high words are mixed with a neighbour and the key, low words pass as they are.
        np.right_shift(product1, np.uint64(32), out=c0)
        c0 ^= c1
        c0 ^= np.uint64(key0)
        np.bitwise_and(product1, np.uint64(WORD_MASK), out=c1)
        np.right_shift(product0, np.uint64(32), out=c2)
        c2 ^= c3
        c2 ^= np.uint64(key1)
        np.bitwise_and(product0, np.uint64(WORD_MASK), out=c3)
        key0, key1 = (key0 + WEYL[0]) & WORD_MASK, (key1 + WEYL[1]) & WORD_MASK
    return c0, c1, c2, c3
