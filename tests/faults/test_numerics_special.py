"""Zeros and infinities that are not IEEE 754's: each is caught by a canary when the library loads."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.canaries.check import check_canaries
from samebits.numerics.library import Library

Faulty = Callable[..., Library]


@pytest.mark.parametrize(
    "after",
    ["x + y + splat(0.0f);", "select(x + y > splat(0x1.fffffep+127f), splat(0x1.fffffep+127f), x + y);"],
    ids=["no sum is -0", "no sum is infinite"],
)
def test_another_sum_is_caught(faulty: Faulty, after: str) -> None:
    planted = faulty(
        ("elementwise.cpp", "f32v x, f32v y, f32v) { return x + y;", f"f32v x, f32v y, f32v) {{ return {after}")
    )
    with library.using(planted), pytest.raises(NumericsError, match="`add` must give clause N-03's"):
        check_canaries()
