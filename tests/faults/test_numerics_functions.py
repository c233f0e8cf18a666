"""A function computed a little otherwise is caught by a canary when the library loads."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.canaries.check import check_canaries
from samebits.numerics.library import Library

Faulty = Callable[..., Library]


def refusal(faulty: Library) -> str:
    with library.using(faulty), pytest.raises(NumericsError) as refused:
        check_canaries()
    return str(refused.value)


def test_a_tanh_that_is_1_too_early_is_caught(faulty: Faulty) -> None:
    assert "`tanh` must give clause N-08's" in refusal(
        faulty(("activations.hpp", "constexpr float TANH_HIGHEST = 9.5f", "constexpr float TANH_HIGHEST = 4.5f"))
    )


def test_a_coefficient_one_place_off_is_caught(faulty: Faulty) -> None:
    assert "`sin` must give clause N-08's" in refusal(
        faulty(("trigonometric.hpp", "-0x1.555546p-3f", "-0x1.555548p-3f"))
    )


def test_a_reduction_of_large_arguments_by_fewer_bits_is_caught(faulty: Faulty) -> None:
    """Only an argument next to a multiple of pi / 2 can tell: sin is 1 there, and cos what the bits are for."""
    assert "`cos` must give clause N-08's" in refusal(
        faulty(
            (
                "trigonometric.hpp",
                "mantissa * high + (mantissa * bits_of_two_over_pi(position + 64) >> 32)",
                "mantissa * high",
            )
        )
    )


def test_a_subnormal_logarithm_taken_as_zeros_is_caught(faulty: Faulty) -> None:
    assert "`log` must give clause N-08's" in refusal(
        faulty(
            (
                "functions.hpp",
                "return select(x == f32v{}, splat(-INFINITE), result);",
                "return select(small, splat(-INFINITE), result);",
            )
        )
    )


def test_a_gelu_whose_square_is_rounded_is_caught(faulty: Faulty) -> None:
    assert "`gelu` must give clause N-08's" in refusal(
        faulty(("activations.hpp", "fma(a, a, n * splat(2.0f * LN2_SHORT))", "(a * a + n * splat(2.0f * LN2_SHORT))"))
    )


def test_an_estimate_of_a_reciprocal_root_is_caught(faulty: Faulty) -> None:
    """1 / sqrt(x) by sqrt(1 / x): as good, and other bits."""
    assert "`rsqrt` must give clause N-15's" in refusal(
        faulty(("powers.cpp", "return splat(1.0f) / sqrt(x);", "return sqrt(splat(1.0f) / x);"))
    )


def test_a_power_of_less_precision_is_caught(faulty: Faulty) -> None:
    assert "`pow` must give clause N-15's" in refusal(
        faulty(
            (
                "powers.hpp",
                "within(power * logarithm, POW_GREATEST)",
                "within(to_f64(to_f32(power * logarithm)), POW_GREATEST)",
            )
        )
    )
