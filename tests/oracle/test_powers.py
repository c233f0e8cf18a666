"""N-15 on every library against the oracle, bit by bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samebits.numerics import library, powers
from samebits.numerics.arrays import F32
from samebits.numerics.library import Library
from samebits.numerics.oracle import powers as oracle

Numbers = Callable[..., F32]
Words = Callable[[F32], list[int]]
KINDS = ("plain", "subnormal", "cancelling", "overflowing", "special", "any bits")
RULES = (0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0, -2.0, 1e30, 16777217.0, float("inf"), -float("inf"), 2.0**-149)


def exponents(kind: str, seed: int, n: int) -> F32:
    generator = np.random.default_rng([seed, n])
    if kind == "integers":
        return generator.integers(-40, 40, n).astype(np.float32)
    if kind == "rules":
        return generator.choice(np.array(RULES, dtype=np.float32), n)
    return (generator.standard_normal(n) * 10).astype(np.float32)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(0, 60),
    offset=st.integers(0, 17),
    kind=st.sampled_from((*KINDS, "rules")),
    of_y=st.sampled_from(("integers", "rules", "real")),
    seed=st.integers(0, 2**32),
)
def test_powers_equal_the_oracle(
    native: Library, numbers: Numbers, words: Words, n: int, offset: int, kind: str, of_y: str, seed: int
) -> None:
    x = (exponents(kind, seed, n + offset) if kind == "rules" else numbers(kind, seed, n + offset))[offset:]
    y = exponents(of_y, seed + 1, n)
    assert words(powers.pow(x, y)) == [oracle.pow(*pair) for pair in zip(words(x), words(y), strict=True)]
    if n:
        one = words(y)[0]
        assert words(powers.pow(x, float(y[0]))) == [oracle.pow(word, one) for word in words(x)]
    assert words(powers.rsqrt(x)) == [oracle.rsqrt(word) for word in words(x)]
    assert words(powers.reciprocal(x)) == [oracle.reciprocal(word) for word in words(x)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(0, 4),
    n=st.integers(0, 200),
    gap=st.integers(0, 5),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32),
)
def test_norms_equal_the_oracle(
    native: Library, numbers: Numbers, words: Words, rows: int, n: int, gap: int, kind: str, seed: int
) -> None:
    x = numbers(kind, seed, rows, n + gap)[:, :n]
    assert words(powers.vector_norm(x)) == [oracle.vector_norm(row) for row in words(x)]


def test_threads_reach_no_bit(native: Library, n_threads: int) -> None:
    x = np.abs(np.random.default_rng(9).standard_normal((300, 301))).astype(np.float32)
    actual = powers.pow(x, 2.5).tobytes(), powers.vector_norm(x).tobytes()
    library.set_threads(1)
    expected = powers.pow(x, 2.5).tobytes(), powers.vector_norm(x).tobytes()
    library.set_threads(n_threads)
    assert actual == expected
