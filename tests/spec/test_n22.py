"""N-22: bounds by hand, and elements by binary64, in which the only product is exact."""

from __future__ import annotations

import numpy as np
import pytest

from samebits.numerics import random
from samebits.numerics.initialisation import kaiming_bound, kaiming_uniform
from samebits.numerics.library import Library
from samebits.numerics.random import Purpose, Stream

STREAM = Stream(42, Purpose.INITIALISATION, tensor=7)


@pytest.mark.parametrize(
    ("fan_in", "bound"),
    [
        *((1, "0x1p+0"), (4, "0x1p-1"), (1024, "0x1p-5")),
        # 1/sqrt(2) = 0.b504f333f9de...
        (2, "0x1.6a09e6p-1"),
        # 1/sqrt(768) = 0.0360843918243516...
        (768, "0x1.279a74p-5"),
    ],
)
def test_bounds(fan_in: int, bound: str) -> None:
    assert kaiming_bound(fan_in) == float.fromhex(bound)


def test_elements_are_the_upper_24_bits(native: Library) -> None:
    drawn = random.words(STREAM, 16 * 768).astype(np.float64)
    exact = (np.floor(drawn / 256) / 2**23 - 1) * float.fromhex("0x1.279a74p-5")
    assert kaiming_uniform(16, 768, STREAM).reshape(-1).tobytes() == exact.astype(np.float32).tobytes()


def test_the_interval_is_open_above(native: Library) -> None:
    drawn = kaiming_uniform(1000, 1, STREAM)
    assert -1 <= drawn.min() < -0.99
    assert 0.99 < drawn.max() < 1
    assert abs(drawn.mean(dtype=np.float64)) < 0.05
