"""N-24: choices by hand; weights of equal logits are equal, so that the draw is a multiplication."""

from __future__ import annotations

import numpy as np
import pytest

from samebits.errors import NonFiniteError
from samebits.numerics import random
from samebits.numerics.arrays import F32
from samebits.numerics.library import Library
from samebits.numerics.random import Purpose, Stream
from samebits.numerics.sampling import Sampling, next_token

STREAM = Stream(42, Purpose.SAMPLING, sample=9)
INF = float("inf")


def f32(*numbers: float) -> F32:
    return np.array(numbers, dtype=np.float32)


def choices(logits: F32, sampling: Sampling, n: int = 200) -> list[int]:
    return [next_token(logits, sampling, STREAM, position=t) for t in range(n)]


def uniform(position: int, n: int) -> int:
    high, low = random.words(STREAM, 2, first=4 * position).tolist()
    return (high * 2**32 + low) * n // 2**64


def test_equal_logits_are_drawn_by_one_multiplication(native: Library) -> None:
    assert choices(f32(*[0.25] * 7), Sampling()) == [uniform(t, 7) for t in range(200)]


def test_left_out_tokens_leave_a_smaller_draw(native: Library) -> None:
    logits = f32(1, -INF, 1, 1, -INF)
    places = [0, 2, 3]
    expected = [places[uniform(t, 3)] for t in range(200)]
    assert choices(logits, Sampling()) == expected
    # Of five equal logits top-k keeps the lowest tokens.
    assert choices(f32(1, 0, 1, 1, 0, 1, 1), Sampling(top_k=3)) == expected
    # min-p keeps weights of at least half the largest: exp(-0.69) is one, exp(-0.7) is not.
    assert set(choices(f32(1, 0.31, 0.3), Sampling(min_p=0.5))) == {0, 1}


def test_top_p_keeps_the_shortest_beginning_that_reaches_it(native: Library) -> None:
    # Four equal weights: two are exactly one half.
    logits = f32(2, 2, 2, 2)
    assert set(choices(logits, Sampling(top_p=0.5))) == {0, 1}
    assert set(choices(logits, Sampling(top_p=0.5000001))) == {0, 1, 2}
    assert set(choices(logits, Sampling(top_p=0.0))) == {0}
    # The share is of what top-k left: one of two.
    assert set(choices(logits, Sampling(top_p=0.5, top_k=2))) == {0}
    # By falling score, not by token.
    assert set(choices(f32(0, 3, 1), Sampling(top_p=0.8))) == {1}


def test_temperature(native: Library) -> None:
    assert next_token(f32(1, 3, 3, 2), Sampling(temperature=0), STREAM, position=0) == 1
    assert next_token(f32(-INF, -0.0, 0.0), Sampling(temperature=0), STREAM, position=0) == 1
    # 20 / 0.1 lies 200 above 0: its neighbour's weight is none.
    assert set(choices(f32(0, 20), Sampling(temperature=0.1))) == {1}
    assert set(choices(f32(0, 20), Sampling(temperature=100.0))) == {0, 1}


@pytest.mark.parametrize(
    ("logits", "seen", "expected"),
    [
        # 3 / 2 falls below 2; once, though it was seen twice.
        ((3, 2), (0, 0), 1),
        ((3, 1), (0, 0), 0),
        # -1 * 2 falls below -1.5.
        ((-1, -1.5), (0,), 1),
        ((3, 2), (), 0),
    ],
)
def test_repetition_penalty(native: Library, logits: tuple[float, ...], seen: tuple[int, ...], expected: int) -> None:
    sampling = Sampling(temperature=0, repetition_penalty=2.0)
    assert next_token(f32(*logits), sampling, STREAM, position=0, seen=seen) == expected


@pytest.mark.parametrize(
    ("bad", "temperature"),
    [
        *(((1, float("nan")), 1.0), ((-float("nan"), 1), 0.0), ((INF, 0), 1.0), ((-INF, -INF), 1.0)),
        # 1 / 10^-39 is beyond the largest float32.
        ((1, 0), 1e-39),
    ],
)
def test_scores_that_are_not_finite_end_the_run(native: Library, bad: tuple[float, ...], temperature: float) -> None:
    with pytest.raises(NonFiniteError, match="scores must be finite or -inf, and one of them finite"):
        next_token(f32(*bad), Sampling(temperature), STREAM, position=0)


def test_subnormal_scores_are_told_apart(native: Library) -> None:
    assert next_token(f32(0, 1e-45, -1e-45), Sampling(temperature=0), STREAM, position=0) == 1
    assert next_token(f32(-1e-45, -0.0), Sampling(temperature=0), STREAM, position=0) == 1
