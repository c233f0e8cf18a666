"""N-07 on every library against the oracle, bit by bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samebits.numerics import library, reductions
from samebits.numerics.arrays import F32
from samebits.numerics.library import Library
from samebits.numerics.oracle import reductions as oracle

Numbers = Callable[..., F32]
Words = Callable[[F32], list[int]]
Placed = Callable[[F32, int, int], F32]
KINDS = ("plain", "subnormal", "cancelling", "overflowing", "special", "any bits")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(0, 4),
    n=st.one_of(st.integers(0, 20), st.integers(55, 75), st.integers(120, 400)),
    gap=st.integers(0, 5),
    offset=st.integers(0, 17),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32),
)
def test_reductions_equal_the_oracle(
    native: Library,
    numbers: Numbers,
    words: Words,
    placed: Placed,
    rows: int,
    n: int,
    gap: int,
    offset: int,
    kind: str,
    seed: int,
) -> None:
    x, y = numbers(kind, seed, rows, n), numbers(kind, seed + 1, rows, n)
    assert words(reductions.sum(placed(x, gap, offset))) == [oracle.sum_of(row) for row in words(x)]
    assert words(reductions.amax(placed(x, gap, offset))) == [oracle.amax(row) for row in words(x)]
    dots = [oracle.dot(*pair) for pair in zip(words(x), words(y), strict=True)]
    assert words(reductions.dot(placed(x, gap, offset), placed(y, gap, offset))) == dots


@pytest.mark.parametrize("n_rows", [1, 7, 300])
def test_threads_do_not_reach_the_bits(native: Library, numbers: Numbers, n_threads: int, n_rows: int) -> None:
    x = numbers("plain", 3, n_rows, 1000)
    expected = b"".join(reductions.sum(x[i : i + 1]).tobytes() for i in range(n_rows))
    assert reductions.sum(x).tobytes() == expected
    assert library.threads() == n_threads
