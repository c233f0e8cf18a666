"""N-19 on every library against the oracle, bit by bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samebits.numerics import losses, softmax
from samebits.numerics.arrays import F32
from samebits.numerics.library import Library
from samebits.numerics.oracle import softmax as oracle

Numbers = Callable[..., F32]
Words = Callable[[F32], list[int]]
Placed = Callable[[F32, int, int], F32]
KINDS = ("plain", "subnormal", "cancelling", "overflowing", "special", "any bits")

checked = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
shapes = {
    "rows": st.integers(0, 4),
    "n": st.one_of(st.integers(1, 20), st.integers(55, 75), st.integers(120, 200)),
    "gap": st.integers(0, 5),
    "offset": st.integers(0, 17),
    "kind": st.sampled_from(KINDS),
    "spread": st.sampled_from((1.0, 20.0, 60.0)),
    "masked": st.booleans(),
    "seed": st.integers(0, 2**32),
}


@pytest.fixture(scope="session")
def logits(numbers: Numbers) -> Callable[..., F32]:
    """`logits(kind, spread, masked, seed, rows, n)`: plain numbers reach exp's whole range by the spread."""

    def made(kind: str, spread: float, masked: bool, seed: int, rows: int, n: int) -> F32:
        x = numbers(kind, seed, rows, n)
        if kind == "plain":
            x *= np.float32(spread)
        if masked:
            x[:, 1::3] = -np.inf
        return x

    return made


@checked
@given(**shapes, in_place=st.booleans())
def test_forward_equals_the_oracle(
    native: Library,
    logits: Callable[..., F32],
    words: Words,
    placed: Placed,
    rows: int,
    n: int,
    gap: int,
    offset: int,
    kind: str,
    spread: float,
    masked: bool,
    seed: int,
    in_place: bool,
) -> None:
    x = logits(kind, spread, masked, seed, rows, n)
    for name in ("softmax", "log_softmax"):
        given_x = placed(x, gap, offset)
        y = getattr(softmax, name)(given_x, out=given_x if in_place else None)
        assert words(y) == [getattr(oracle, name)(row) for row in words(x)]


@checked
@given(**shapes, in_place=st.sampled_from((None, 0, 1)))
def test_backward_equals_the_oracle(
    native: Library,
    logits: Callable[..., F32],
    words: Words,
    placed: Placed,
    rows: int,
    n: int,
    gap: int,
    offset: int,
    kind: str,
    spread: float,
    masked: bool,
    seed: int,
    in_place: int | None,
) -> None:
    dy = logits(kind, spread, False, seed, rows, n)
    y = logits(kind, spread, masked, seed + 1, rows, n)
    for name in ("softmax_backward", "log_softmax_backward"):
        operands = (placed(dy, gap, offset), placed(y, gap + 1, offset))
        dx = getattr(softmax, name)(*operands, out=None if in_place is None else operands[in_place])
        assert words(dx) == [getattr(oracle, name)(*row) for row in zip(words(dy), words(y), strict=True)]


@checked
@given(**shapes, scale=st.floats(width=32, allow_nan=False, allow_infinity=False), in_place=st.booleans())
def test_cross_entropy_equals_the_oracle(
    native: Library,
    logits: Callable[..., F32],
    words: Words,
    placed: Placed,
    rows: int,
    n: int,
    gap: int,
    offset: int,
    kind: str,
    spread: float,
    masked: bool,
    seed: int,
    scale: float,
    in_place: bool,
) -> None:
    x = logits(kind, spread, masked, seed, rows, n)
    targets = np.random.default_rng(seed).integers(0, n, rows)
    targets[1::2] = losses.NO_TARGET
    given_x = placed(x, gap, offset)
    pairs = list(zip(words(x), targets.tolist(), strict=True))
    expected = [oracle.cross_entropy(*pair) for pair in pairs]
    assert words(losses.cross_entropy(given_x, targets)) == expected
    (scale_word,) = words(np.array([scale], dtype=np.float32))
    loss, gradient = losses.cross_entropy_backward(given_x, targets, scale=scale, out=given_x if in_place else None)
    assert words(loss) == expected
    assert words(gradient) == [oracle.cross_entropy_backward(*pair, scale_word) for pair in pairs]


@checked
@given(rows=st.integers(0, 300), kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32))
def test_the_sum_of_losses_equals_the_oracle(
    native: Library, numbers: Numbers, words: Words, rows: int, kind: str, seed: int
) -> None:
    terms = numbers(kind, seed, rows)
    targets = np.random.default_rng(seed).choice([losses.NO_TARGET, 0, 9], rows)
    total = losses.loss_sum(terms, targets)
    assert words(np.array([total], dtype=np.float32)) == [oracle.loss_sum(words(terms), targets.tolist())]


@pytest.mark.parametrize(("rows", "n"), [(7, 3001), (300, 200)])
def test_threads_do_not_reach_the_bits(native: Library, numbers: Numbers, n_threads: int, rows: int, n: int) -> None:
    x, dy = numbers("plain", 1, rows, n), numbers("plain", 2, rows, n)
    targets = np.arange(rows) % n
    y, logs = softmax.softmax(x), softmax.log_softmax(x)
    loss, gradient = losses.cross_entropy_backward(x, targets)
    dx, log_dx = softmax.softmax_backward(dy, y), softmax.log_softmax_backward(dy, logs)
    for row in range(rows):
        own = slice(row, row + 1)
        assert softmax.softmax(x[own]).tobytes() == y[own].tobytes()
        assert softmax.log_softmax(x[own]).tobytes() == logs[own].tobytes()
        assert softmax.softmax_backward(dy[own], y[own]).tobytes() == dx[own].tobytes()
        assert softmax.log_softmax_backward(dy[own], logs[own]).tobytes() == log_dx[own].tobytes()
        alone = losses.cross_entropy_backward(x[own], targets[own])
        assert [array.tobytes() for array in alone] == [loss[own].tobytes(), gradient[own].tobytes()]
        assert losses.cross_entropy(x[own], targets[own]).tobytes() == loss[own].tobytes()
