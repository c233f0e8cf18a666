"""The oracle's ranking and masses by hand; then every library against it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samebits.numerics.library import Library
from samebits.numerics.oracle import sampling as oracle
from samebits.numerics.oracle.binary32 import MINUS_INFINITY, ONE, SIGN
from samebits.numerics.oracle.random import Fields
from samebits.numerics.random import Purpose, Stream
from samebits.numerics.sampling import Sampling, next_token


def test_ranks_and_masses() -> None:
    assert oracle.ranked([0, ONE, SIGN, MINUS_INFINITY, ONE]) == [1, 4, 0, 2, 3]
    assert oracle.by_mass([2, 0, 1], [1, 1, 2], Fraction(1, 2)) == [2]
    assert oracle.by_mass([2, 0, 1], [1, 1, 2], Fraction(51, 100)) == [2, 0]
    assert oracle.by_mass([2, 0, 1], [1, 1, 2], Fraction(0)) == [2]
    assert [oracle.integer_weight(word) for word in (ONE, 0x2B800000, 0x2B7FFFFF, 1)] == [2**40, 1, 0, 0]


SHARES = st.integers(0, 100).map(lambda hundredths: hundredths / 100)
LOGITS = st.lists(st.one_of(st.integers(-3, 3).map(float), st.floats(-30, 30, width=32)), min_size=1, max_size=40)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    logits=LOGITS,
    left_out=st.lists(st.integers(0, 39), max_size=5),
    temperature=st.sampled_from((0.0, 0.3, 0.7, 1.0, 2.5)),
    top_k=st.integers(0, 45),
    top_p=st.one_of(st.just(1.0), SHARES),
    min_p=st.one_of(st.just(0.0), SHARES),
    penalty=st.sampled_from((1.0, 1.1, 0.5)),
    seen=st.sets(st.integers(0, 39), max_size=9),
    position=st.integers(0, 2**20),
)
def test_tokens_equal_the_oracles(
    native: Library,
    logits: list[float],
    left_out: list[int],
    temperature: float,
    top_k: int,
    top_p: float,
    min_p: float,
    penalty: float,
    seen: set[int],
    position: int,
) -> None:
    array = np.array(logits, dtype=np.float32)
    array[[token for token in left_out if 0 < token < len(logits)]] = -np.inf
    seen = {token for token in seen if token < len(logits)}
    sampling = Sampling(temperature, top_k, top_p, min_p, penalty)
    as_rationals = (Fraction(repr(number)) for number in (temperature, top_p, min_p, penalty))
    t, p, q, r = as_rationals
    expected = oracle.next_token(
        array.view(np.uint32).tolist(),
        oracle.Settings(t, top_k, p, q, r),
        Fields(3, 5, sample=4),
        position,
        seen,
    )
    stream = Stream(3, Purpose.SAMPLING, sample=4)
    assert next_token(array, sampling, stream, position=position, seen=sorted(seen) * 2) == expected
