"""Weights, windows and gradients told apart by hand; tests/oracle holds every kernel against these functions."""

from __future__ import annotations

from samebits.numerics.oracle.attention import Attention, backward, chain, fold
from samebits.numerics.oracle.binary32 import MINUS_ZERO, ONE, ZERO, add

TWO, THREE, HALF, QUARTER = 0x40000000, 0x40400000, 0x3F000000, 0x3E800000


def column(*numbers: int) -> list[list[list[int]]]:
    return [[[number]] for number in numbers]


def test_equal_scores_weigh_alike_within_the_window() -> None:
    one = Attention(column(ZERO, ZERO, ZERO), column(ONE, TWO, THREE), column(ONE, THREE, ONE), ONE)
    assert one.forward()[:2] == column(ONE, TWO)
    assert one.statistics() == [[[ZERO] * 3], [[ONE, TWO, THREE]]]
    assert Attention(one.q, one.k, one.v, ONE, window=1).forward() == one.v
    assert Attention(one.q, one.k, one.v, ONE, causal=False).seen(0) == [0, 1, 2]


def test_a_dropped_weight_counts_in_the_sum_alone() -> None:
    dropped = Attention(column(ZERO), column(ONE, ONE), column(ONE, THREE), ONE, causal=False, keep_scale=TWO)
    dropped.kept = lambda head, i, j: j == 1
    assert dropped.forward() == column(THREE)


def test_gradients_of_two_equal_weights() -> None:
    dq, dk, dv = backward(
        Attention(column(ZERO), column(ONE, THREE), column(ONE, THREE), HALF, causal=False), column(ONE)
    )
    assert dq == column(HALF)
    assert dk == column(ZERO, ZERO)
    assert dv == column(HALF, HALF)


def test_a_chain_starts_from_plus_zero_and_lanes_from_minus_zero() -> None:
    assert chain([]) == ZERO
    assert chain([(HALF, HALF)]) == QUARTER
    assert fold(add, MINUS_ZERO, {}) == MINUS_ZERO
    assert fold(add, MINUS_ZERO, {5: ONE, 69: ONE}) == TWO
