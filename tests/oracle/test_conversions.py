"""N-14 on every library against the oracle, bit by bit, NaN included."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samebits.numerics import conversions
from samebits.numerics.arrays import F32
from samebits.numerics.library import Library
from samebits.numerics.oracle import conversions as oracle

Numbers = Callable[..., F32]
KINDS = ("plain", "subnormal", "cancelling", "overflowing", "special", "any bits")


def check_f32(x: F32) -> None:
    words = x.view(np.uint32).tolist()
    assert conversions.convert_f32_bf16(x).tolist() == [oracle.f32_to_bf16(word) for word in words]
    assert conversions.convert_f32_f16(x).view(np.uint16).tolist() == [oracle.f32_to_f16(word) for word in words]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n=st.integers(0, 150), offset=st.integers(0, 17), kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32))
def test_roundings_equal_the_oracle(
    native: Library, numbers: Numbers, n: int, offset: int, kind: str, seed: int
) -> None:
    check_f32(numbers(kind, seed, n + offset)[offset:])


def test_every_tie_and_its_neighbours_round_as_the_oracle_says(native: Library) -> None:
    """Each exponent, fractions around ties of both formats: carries, least and greatest numbers, NaN among them."""
    exponent = np.arange(512, dtype=np.uint32)[:, None, None] << 23
    upper = np.array([0, 1, 2, 3, 62, 63, 64, 126, 127], dtype=np.uint32)[None, :, None] << 16
    lower = np.array([0, 1, 0xFFF, 0x1000, 0x1001, 0x3000, 0x7FFF, 0x8000, 0x8001, 0xF000, 0xFFFF], dtype=np.uint32)
    check_f32((exponent | upper | lower).view(np.float32).reshape(-1))


def test_every_16_bits_widen_as_the_oracle_says(native: Library) -> None:
    x = np.arange(1 << 16, dtype=np.uint16)
    assert conversions.convert_bf16_f32(x).view(np.uint32).tolist() == list(map(oracle.bf16_to_f32, range(1 << 16)))
    widened = conversions.convert_f16_f32(x.view(np.float16)).view(np.uint32)
    assert widened.tolist() == list(map(oracle.f16_to_f32, range(1 << 16)))


@pytest.mark.parametrize("n", [1, 63, 65, 100_001, 300_000])
def test_threads_and_ends_do_not_reach_the_bits(native: Library, numbers: Numbers, n_threads: int, n: int) -> None:
    x = numbers("any bits", 5, n)
    upper, lower = np.divmod(x.view(np.uint32).astype(np.uint64), 1 << 16)
    expected = upper + ((lower > 1 << 15) | ((lower == 1 << 15) & (upper % 2 == 1)))
    room = np.full(n + 2, 0xABCD, dtype=np.uint16)
    conversions.convert_f32_bf16(x, out=room[1:-1])
    assert room[1:-1].tolist() == expected.tolist()
    assert room[[0, -1]].tolist() == [0xABCD] * 2
