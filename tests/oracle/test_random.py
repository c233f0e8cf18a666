"""N-10, N-21 and N-22 on every library against the oracle, bit by bit; N-23 too, which rests on the words alone."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samebits.numerics import library, random
from samebits.numerics.arrays import F32
from samebits.numerics.dropout import dropout
from samebits.numerics.initialisation import kaiming_uniform
from samebits.numerics.library import Library
from samebits.numerics.oracle import random as oracle
from samebits.numerics.random import Purpose, Stream

Numbers = Callable[..., F32]
Words = Callable[[F32], list[int]]
KINDS = ("plain", "subnormal", "cancelling", "overflowing", "special", "any bits")
STREAMS = st.builds(
    Stream,
    seed=st.integers(0, 2**64 - 1),
    purpose=st.sampled_from(Purpose),
    step=st.integers(0, 2**24 - 1),
    sample=st.integers(0, 2**32 - 1),
    tensor=st.integers(0, 2**16 - 1),
)
# Around carries of the block's low word, and at the end of a stream.
FIRSTS = st.one_of(
    st.integers(0, 300), st.integers(4 * 2**32 - 300, 4 * 2**32 + 8), st.just(2**42 - 700), st.integers(0, 2**41)
)
SHUT_UP = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def fields(stream: Stream) -> oracle.Fields:
    return oracle.Fields(stream.seed, int(stream.purpose), stream.step, stream.sample, stream.tensor)


def expected_words(stream: Stream, first: int, n: int) -> list[int]:
    return [oracle.word(fields(stream), first + i) for i in range(n)]


@SHUT_UP
@given(stream=STREAMS, first=FIRSTS, n=st.one_of(st.integers(0, 40), st.integers(0, 600)))
def test_words_equal_the_oracle(native: Library, stream: Stream, first: int, n: int) -> None:
    assert random.words(stream, n, first=first).tolist() == expected_words(stream, first, n)


@SHUT_UP
@given(
    stream=STREAMS,
    first=FIRSTS,
    rows=st.integers(0, 4),
    n=st.one_of(st.integers(0, 20), st.integers(55, 160)),
    gap=st.integers(0, 5),
    offset=st.integers(0, 17),
    p=st.one_of(st.sampled_from((0.0, 1.0, 0.5, 0.1, 1e-12, 1 - 2**-53)), st.floats(0, 1, allow_subnormal=False)),
    kind=st.sampled_from(KINDS),
    in_place=st.booleans(),
)
def test_dropout_equals_the_oracle(
    native: Library,
    numbers: Numbers,
    words: Words,
    stream: Stream,
    first: int,
    rows: int,
    n: int,
    gap: int,
    offset: int,
    p: float,
    kind: str,
    in_place: bool,
) -> None:
    # NaN all around: an element too many would show.
    room = np.full(offset + rows * (n + gap) + 1, np.nan, dtype=np.float32)
    x = room[offset : offset + rows * (n + gap)].reshape(rows, n + gap)[:, :n]
    x[...] = numbers(kind, first % 2**32, rows, n)
    drawn = expected_words(stream, first, rows * n)
    flat = [element for row in words(x) for element in row]
    expected = [oracle.dropout(element, word, Fraction(repr(p))) for element, word in zip(flat, drawn, strict=True)]
    actual = dropout(x, p, stream, first=first, out=x if in_place else None)
    assert [element for row in words(actual) for element in row] == expected
    assert np.isnan(room).sum() == room.size - rows * n


@SHUT_UP
@given(stream=STREAMS, rows=st.integers(0, 5), n=st.integers(1, 150))
def test_initial_values_equal_the_oracle(native: Library, words: Words, stream: Stream, rows: int, n: int) -> None:
    drawn = expected_words(stream, 0, rows * n)
    assert words(kaiming_uniform(rows, n, stream).reshape(-1)) == [oracle.uniform(word, n) for word in drawn]


@pytest.mark.parametrize("first", [0, 3])
def test_threads_do_not_reach_the_bits(native: Library, numbers: Numbers, n_threads: int, first: int) -> None:
    stream = Stream(7, Purpose.DROPOUT, step=3, sample=5)
    wide = numbers("plain", 1, 70, 1003)
    x = wide[:, :1000]
    rows = [dropout(x[r : r + 1], 0.3, stream, first=first + 1000 * r) for r in range(70)]
    assert dropout(x, 0.3, stream, first=first).tobytes() == np.concatenate(rows).tobytes()
    assert dropout(x.copy(), 0.3, stream, first=first).tobytes() == np.concatenate(rows).tobytes()
    pieces = [random.words(stream, 999, first=first + 999 * i) for i in range(70)]
    assert random.words(stream, 70 * 999, first=first).tobytes() == np.concatenate(pieces).tobytes()
    assert library.threads() == n_threads
