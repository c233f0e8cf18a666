"""N-16 on every library against the oracle, bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samebits.numerics import library
from samebits.numerics.arrays import F32
from samebits.numerics.attention import Sight, attention, attention_backward
from samebits.numerics.dropout import threshold_and_scale
from samebits.numerics.library import Library
from samebits.numerics.oracle.attention import Attention, backward
from samebits.numerics.philox import philox4x32
from samebits.numerics.random import Purpose, Stream

Numbers = Callable[..., F32]
Words = Callable[[F32], Any]
KINDS = ("plain", "subnormal", "cancelling", "special", "any bits")
STREAM = Stream(seed=2**40 + 3, purpose=Purpose.ATTENTION_DROPOUT, step=7, sample=9, tensor=2)
LAYOUTS = ("plain", "of one product", "heads first")


def kept(threshold: int) -> Callable[[int, int, int], bool]:
    """Whether a weight is kept, by the words of N-10 made one at a time."""

    def keeps(head: int, i: int, j: int) -> bool:
        element = (head << 16 | i) << 16 | j
        block = element // 4
        key0, key1, sample, step, place = STREAM.fields.tolist()
        counter = np.array([[block & 0xFFFFFFFF, sample, block >> 32 << 24 | step, place]], dtype=np.uint32)
        return bool(philox4x32(counter, (key0, key1))[0, element % 4] >= threshold)

    return keeps


def word(number: float) -> int:
    return int(np.float32(number).view(np.uint32))


def laid_out(array: F32, layout: str) -> F32:
    """Return a copy with other distances between rows and heads; NaN lies between."""
    n, heads, d = array.shape
    if layout == "of one product":
        room = np.full((n, heads + 3, d), np.nan, dtype=np.float32)[:, 1 : 1 + heads]
    elif layout == "heads first":
        room = np.full((heads, n + 1, d + 3), np.nan, dtype=np.float32)[:, :n, 2 : 2 + d].transpose(1, 0, 2)
    else:
        room = np.empty((n, heads, d), dtype=np.float32)
    room[...] = array
    return room


def words_of(array: F32) -> Any:
    return array.view(np.uint32).tolist()


def expected_of(q: F32, k: F32, v: F32, dout: F32, sight: Sight) -> list[Any]:
    threshold, keep_scale = threshold_and_scale(sight.dropout)
    one = Attention(
        *map(words_of, (q, k, v)),
        *(word(sight.scale), sight.causal, sight.window, sight.first),
        *((kept(threshold), word(keep_scale)) if sight.dropout else ()),
    )
    return [one.forward(), one.statistics(), *backward(one, words_of(dout))]


def check(q: F32, k: F32, v: F32, dout: F32, sight: Sight, expected: list[Any], layout: str, words: Words) -> None:
    statistics = np.full((2, q.shape[1], q.shape[0]), np.nan, dtype=np.float32)
    q, k, v, dout = (laid_out(array, layout) for array in (q, k, v, dout))
    before = [array.tobytes() for array in (q, k, v, dout)]
    out = attention(q, k, v, sight, out=laid_out(np.full_like(q, np.nan), layout), statistics=statistics)
    assert words(out) == expected[0]
    assert words(statistics) == expected[1]
    outputs = {name: laid_out(np.full_like(like, np.nan), layout) for name, like in (("dq", q), ("dk", k), ("dv", v))}
    gradients = attention_backward(dout, q, k, v, out, statistics, sight, **outputs)
    for name, gradient, bits in zip(outputs, gradients, expected[2:], strict=True):
        assert words(gradient) == bits, name
    assert [array.tobytes() for array in (q, k, v, dout)] == before


@st.composite
def problems(draw: st.DrawFn) -> tuple[tuple[int, int, int, int, int], Sight]:
    n_queries, first = draw(st.integers(1, 5)), draw(st.sampled_from((0, 0, 1, 3, 62)))
    causal = draw(st.booleans())
    n_keys = first + n_queries + draw(st.integers(0, 3)) if causal else draw(st.sampled_from((1, 2, 7, 66)))
    window = draw(st.sampled_from((None, 1, 2, 5, 64, 67))) if causal else None
    group, n_kv_heads = draw(st.sampled_from(((1, 1), (1, 2), (2, 1), (3, 1))))
    d = draw(st.sampled_from((1, 2, 3, 4, 5, 9)))
    scale = draw(st.sampled_from((1.0, 0.125, float(np.float32(0.3)))))
    dropout = draw(st.sampled_from((0.0, 0.0, 0.1, 0.5)))
    sight = Sight(scale, causal, window, first, dropout, STREAM if dropout else None)
    return (n_queries, n_keys, group * n_kv_heads, n_kv_heads, d), sight


@settings(max_examples=70, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(problem=problems(), kind=st.sampled_from(KINDS), layout=st.sampled_from(LAYOUTS), seed=st.integers(0, 2**32))
def test_attention_equals_the_oracle(
    native: Library, numbers: Numbers, words: Words, problem: Any, kind: str, layout: str, seed: int
) -> None:
    (n_queries, n_keys, n_heads, n_kv_heads, d), sight = problem
    q, dout = numbers(kind, seed, n_queries, n_heads, d), numbers("plain", seed + 3, n_queries, n_heads, d)
    k, v = numbers("plain", seed + 1, n_keys, n_kv_heads, d), numbers(kind, seed + 2, n_keys, n_kv_heads, d)
    check(q, k, v, dout, sight, expected_of(q, k, v, dout, sight), layout, words)


# On both sides of every block: tiles of rows and keys, blocks of rows and of keys, rounds of lanes, vectors of a head.
BLOCKS = {
    "tiles": ((40, 40, 2, 1, 33), {}),
    "tiles and a window": ((40, 45, 2, 2, 20), {"first": 3, "window": 7}),
    "rows": ((150, 150, 1, 1, 2), {}),
    "keys": ((600, 600, 1, 1, 1), {"window": 9}),
    "keys without a mask": ((3, 1100, 2, 1, 5), {"causal": False}),
    "one query": ((1, 75, 2, 1, 32), {"first": 72, "window": 71}),
    "dropped": ((30, 70, 3, 3, 8), {"first": 40, "dropout": 0.3, "stream": STREAM}),
}


@cache
def block_case(name: str) -> tuple[list[F32], Sight, list[Any]]:
    (n_queries, n_keys, n_heads, n_kv_heads, d), options = BLOCKS[name]
    generator = np.random.default_rng([n_queries, n_keys, d])
    shapes = ((n_queries, n_heads, d), (n_keys, n_kv_heads, d), (n_keys, n_kv_heads, d), (n_queries, n_heads, d))
    operands = [generator.standard_normal(shape).astype(np.float32) for shape in shapes]
    sight = Sight(0.5, **options)
    return operands, sight, expected_of(*operands, sight)


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize(("layout", "n_threads"), [("plain", 1), ("of one product", 3)], indirect=["n_threads"])
def test_blocks_do_not_reach_the_bits(native: Library, words: Words, n_threads: int, name: str, layout: str) -> None:
    operands, sight, expected = block_case(name)
    check(*operands, sight, expected, layout, words)
    assert library.threads() == n_threads


@pytest.mark.parametrize("options", [{}, {"window": 70}, {"dropout": 0.1, "stream": STREAM}], ids=str)
def test_rows_threads_and_libraries_do_not_reach_the_bits(native: Library, numbers: Numbers, options: Any) -> None:
    n, n_heads, n_kv_heads, d = 560, 4, 2, 16
    sight = Sight(float(np.float32(d**-0.5)), **options)
    q, dout = numbers("plain", 1, n, n_heads, d), numbers("plain", 2, n, n_heads, d)
    k, v = numbers("plain", 3, n, n_kv_heads, d), numbers("plain", 4, n, n_kv_heads, d)

    def run() -> tuple[F32, list[bytes]]:
        statistics = np.empty((2, n_heads, n), dtype=np.float32)
        out = attention(q, k, v, sight, statistics=statistics)
        gradients = attention_backward(dout, q, k, v, out, statistics, sight)
        return out, [array.tobytes() for array in (out, statistics, *gradients)]

    out, expected = run()
    before = library.threads()
    try:
        for n_threads in (2, 3, 8):
            library.set_threads(n_threads)
            assert run()[1] == expected
    finally:
        library.set_threads(before)
    # Decoding: one query, or a few, with the keys before them, or with later ones too.
    for first, last, n_keys in ((0, 1, 1), (1, 2, n), (69, 72, 80), (511, 512, 512), (500, 560, n), (559, 560, n)):
        some = attention(q[first:last], k[:n_keys], v[:n_keys], replace(sight, first=first))
        assert some.tobytes() == out[first:last].tobytes()
    with library.using(library.open_library(library.runnable_isas()[0])):
        assert run()[1] == expected


def test_infinite_keys_and_values_that_are_not_seen_leave_no_trace(native: Library, numbers: Numbers) -> None:
    n, d = 40, 5
    sight = Sight(1.0, window=4)
    q, k, v, dout = (numbers("plain", seed, n, 1, d) for seed in range(4))
    statistics = np.empty((2, 1, n), dtype=np.float32)

    def run() -> list[F32]:
        out = attention(q, k, v, sight, statistics=statistics)
        return [out, *attention_backward(dout, q, k, v, out, statistics, sight)]

    expected = run()
    q[20], k[20], v[20], dout[20] = np.inf, -np.inf, np.inf, np.inf
    rows = [i for i in range(n) if not 20 <= i < 24]
    keys = [j for j in range(n) if not 17 <= j <= 23]
    for before, after in zip(expected, run(), strict=True):
        touched = rows if before is expected[0] or before is expected[1] else keys
        assert before[touched].tobytes() == after[touched].tobytes()
        assert np.isnan(after).any()


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_one_query_of_heads_that_do_not_go_round_writes_its_own_row_alone(native: Library, threads: int) -> None:
    """A head that is cut into more stretches than it has rows leaves the memory beside its output alone."""
    heads, keys, d = 5, 900, 32
    q, k, v = (np.random.default_rng(n).standard_normal((n, heads, d)).astype(np.float32) for n in (3, keys, keys + 1))
    sight = Sight(0.25, first=keys - 1)
    expected = attention(q[1:2], k, v[:keys], sight)
    before = library.threads()
    room = np.full((40, heads, d), 7, dtype=np.float32)
    try:
        library.set_threads(threads)
        attention(q[1:2], k, v[:keys], sight, out=room[20:21])
    finally:
        library.set_threads(before)
    assert room[20:21].tobytes() == expected.tobytes()
    assert (np.delete(room, 20, axis=0) == 7).all()
