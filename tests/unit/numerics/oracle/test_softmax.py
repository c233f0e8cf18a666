"""Rows by hand; tests/oracle holds every kernel against these functions."""

from __future__ import annotations

from samebits.numerics.oracle import softmax
from samebits.numerics.oracle.binary32 import MINUS_INFINITY, MINUS_ZERO, ONE, SIGN, ZERO

HALF, TWO = 0x3F000000, 0x40000000
LOG_TWO = 0x3F317218


def test_equal_elements_share() -> None:
    assert softmax.softmax([TWO, TWO, MINUS_INFINITY]) == [HALF, HALF, ZERO]
    assert softmax.log_softmax([TWO, TWO]) == [SIGN | LOG_TWO] * 2
    assert softmax.cross_entropy([TWO, TWO], 1) == LOG_TWO
    assert softmax.cross_entropy_backward([TWO, TWO], 1, TWO) == [ONE, SIGN | ONE]


def test_gradients_lose_what_all_elements_share() -> None:
    assert softmax.softmax_backward([ONE, ONE], [HALF, HALF]) == [ZERO, ZERO]
    assert softmax.log_softmax_backward([ONE, ZERO], [ZERO, MINUS_INFINITY]) == [ZERO, ZERO]


def test_rows_without_a_target_are_skipped() -> None:
    assert softmax.cross_entropy([TWO], softmax.NO_TARGET) == ZERO
    assert softmax.cross_entropy_backward([TWO, TWO], softmax.NO_TARGET, ONE) == [ZERO, ZERO]
    assert softmax.loss_sum([MINUS_ZERO, ZERO], [0, softmax.NO_TARGET]) == MINUS_ZERO
    assert softmax.loss_sum([ONE, TWO], [0, softmax.NO_TARGET]) == ONE
