"""N-01: the state a thread was left in reaches no bit, and it is given back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from samebits.numerics import elementwise
from samebits.numerics.arrays import F32
from samebits.numerics.library import Library

Parse = Callable[[Sequence[str]], F32]


def test_subnormals_are_kept(native: Library, f32: Parse) -> None:
    x, y = f32(["0x1p-149", "0x1p-126", "-0x1.8p-127"]), f32(["0x1p+0", "0x1p-1", "0x1p-1"])
    assert elementwise.mul(x, y).tolist() == f32(["0x1p-149", "0x1p-127", "-0x1.8p-128"]).tolist()


def test_ties_go_to_even(native: Library, f32: Parse) -> None:
    x, y = f32(["0x1p+0", "0x1.000002p+0", "-0x1p+0"]), f32(["0x1p-24", "0x1p-24", "-0x1p-24"])
    assert elementwise.add(x, y).tolist() == f32(["0x1p+0", "0x1.000004p+0", "-0x1p+0"]).tolist()


def test_half_of_the_least_goes_to_zero_of_its_sign(native: Library, f32: Parse) -> None:
    product = elementwise.mul(f32(["0x1p-149", "-0x1p-149"]), f32(["0x1p-1", "0x1p-1"]))
    assert product.view(np.uint32).tolist() == [0, 0x80000000]


def test_overflow_goes_to_infinity_and_traps_nothing(native: Library, f32: Parse) -> None:
    product = elementwise.mul(f32(["0x1p+127", "-0x1p+127"]), f32(["0x1p+1", "0x1p+1"]))
    assert product.tolist() == [float("inf"), float("-inf")]
