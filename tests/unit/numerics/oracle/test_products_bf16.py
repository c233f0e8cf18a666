"""Flushing and a product by hand; tests/oracle holds every kernel against these functions."""

from __future__ import annotations

from samebits.numerics.oracle.binary32 import ONE, SIGN
from samebits.numerics.oracle.products_bf16 import flushed, flushing_add, flushing_fma, linear_bf16

LEAST = 0x00800000
TWO, EIGHT = 0x4000, 0x41000000


def test_too_small_is_decided_after_rounding_with_any_exponent() -> None:
    below_by_a_tie = (1 << 25) - 1  # times 2^-151: 2^-126 - 2^-151
    assert flushed(0, below_by_a_tie, -151) == LEAST
    assert flushed(1, 2 * below_by_a_tie - 1, -152) == SIGN


def test_operands_and_results_are_flushed() -> None:
    assert flushing_fma(1, ONE, ONE) == ONE
    assert flushing_add(LEAST + 1, SIGN | LEAST) == 0
    assert flushing_add(SIGN | LEAST + 1, LEAST) == SIGN
    assert flushing_add(SIGN, SIGN | 5) == SIGN
    assert flushing_fma(0x7F800000, ONE, 5) == 0x7F800000


def test_a_bias_and_what_was_there() -> None:
    three = 0x40400000
    assert linear_bf16([[0x3F80, TWO]], [[0x3F80], [TWO]], n=1, bias=[three]) == [[EIGHT]]
    assert linear_bf16([[TWO]], [[0x3F80]], n=1, bias=[three], onto=[[three]]) == [[EIGHT]]
    assert linear_bf16([[]], [], n=2) == [[0, 0]]
