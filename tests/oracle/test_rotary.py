"""N-20 on every library against the oracle, bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samebits.numerics import library, rotary
from samebits.numerics.arrays import F32
from samebits.numerics.embedding import embedding, embedding_backward
from samebits.numerics.library import Library
from samebits.numerics.oracle import rotary as oracle

Numbers = Callable[..., F32]
Words = Callable[[F32], Any]
KINDS = ("plain", "subnormal", "cancelling", "overflowing", "special", "any bits")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(0, 4),
    n_heads=st.integers(0, 3),
    half=st.one_of(st.integers(0, 9), st.integers(15, 40)),
    gaps=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    kind=st.sampled_from(KINDS),
    in_place=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_rotation_equals_the_oracle(
    native: Library,
    numbers: Numbers,
    words: Words,
    n: int,
    n_heads: int,
    half: int,
    gaps: tuple[int, int],
    kind: str,
    *,
    in_place: bool,
    seed: int,
) -> None:
    def placed(array: F32, gap: int) -> F32:
        room = np.full((*array.shape[:-1], array.shape[-1] + gap), np.nan, dtype=np.float32)[..., : array.shape[-1]]
        room[...] = array
        return room

    x = numbers(kind, seed, n, n_heads, 2 * half)
    cos, sin = numbers(kind, seed + 1, n, half), numbers(kind, seed + 2, n, half)
    for backward, run in ((False, rotary.rotate), (True, rotary.rotate_backward)):
        expected = [
            [oracle.rotate(head, c, s, backward=backward) for head in row]
            for row, c, s in zip(words(x), words(cos), words(sin), strict=True)
        ]
        given_x = placed(x, gaps[0])
        out = given_x if in_place else placed(np.full_like(x, np.nan), gaps[1])
        assert words(run(given_x, placed(cos, gaps[1]), placed(sin, gaps[1]), out=out)) == expected


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ids=st.lists(st.integers(0, 4), max_size=12),
    d=st.one_of(st.integers(0, 40), st.integers(60, 70)),
    gap=st.integers(0, 3),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32),
)
def test_embedding_equals_the_oracle(
    native: Library, numbers: Numbers, words: Words, ids: list[int], d: int, gap: int, kind: str, seed: int
) -> None:
    tokens = np.array(ids, dtype=np.int64)
    dout = np.full((len(ids), d + gap), np.nan, dtype=np.float32)[:, :d]
    dout[...] = numbers(kind, seed, len(ids), d)
    table = np.full((5, d + gap), np.nan, dtype=np.float32)[:, :d]
    table[...] = numbers(kind, seed + 1, 5, d)
    before = table.tobytes()
    assert embedding(table, tokens).tobytes() == table[tokens].tobytes()
    assert table.tobytes() == before
    expected = oracle.embedding_backward(words(dout), ids, words(table))
    zeros = [[0] * d for _ in range(5)]
    assert words(embedding_backward(dout, tokens, table, accumulate=True)) == expected
    assert words(embedding_backward(dout, tokens, table)) == oracle.embedding_backward(words(dout), ids, zeros)


@pytest.mark.parametrize(("d", "theta"), [(2, 10000), (64, 10000), (30, 500000), (16, 1)])
def test_tables_equal_the_oracle(native: Library, words: Words, d: int, theta: int) -> None:
    frequencies = rotary.inverse_frequencies(d, float(theta))
    assert words(frequencies) == [oracle.inverse_frequency(i, d, Fraction(theta)) for i in range(d // 2)]
    cos, sin = rotary.tables(700, frequencies)
    for position in (0, 1, 2, 3, 100, 511, 699):
        assert (words(cos[position]), words(sin[position])) == oracle.table_row(position, words(frequencies))


def test_threads_do_not_reach_the_bits(native: Library, numbers: Numbers, n_threads: int) -> None:
    n, n_heads, d, n_rows = 300, 4, 64, 50
    x, cos, sin = numbers("plain", 1, n, n_heads, d), numbers("plain", 2, n, d // 2), numbers("plain", 3, n, d // 2)
    turned = rotary.rotate(x, cos, sin)
    by_rows = [rotary.rotate(x[i : i + 1], cos[i : i + 1], sin[i : i + 1]) for i in range(n)]
    assert turned.tobytes() == np.concatenate(by_rows).tobytes()
    ids = np.random.default_rng(1).integers(0, n_rows, n)
    rows = x.reshape(n, n_heads * d)
    gradient = embedding_backward(rows, ids, np.empty((n_rows, n_heads * d), dtype=np.float32))
    expected = np.zeros_like(gradient)
    for row, token in zip(rows, ids, strict=True):
        expected[token] += row
    assert gradient.tobytes() == expected.tobytes()
    assert embedding(rows, ids).tobytes() == rows[ids].tobytes()
    assert library.threads() == n_threads
