"""N-04: known answers of the matrix product; each follows from the clause by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from samebits.numerics import products
from samebits.numerics.arrays import F32
from samebits.numerics.library import Library

Parse = Callable[[Sequence[str]], F32]
BIG = "0x1p+24"


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        # Ascending: 2^24 takes in 1 and 1, each lost by a tie to even. Any other order gives 2^24 + 2.
        ((BIG, "0x1p+0", "0x1p+0"), ("0x1p+0",) * 3, 0x4B800000),
        (("0x1p+0", "0x1p+0", BIG), ("0x1p+0",) * 3, 0x4B800001),
        # One rounding per step: (1 + 2^-12)^2 - (1 + 2^-11) is 2^-24; with the product rounded, 0.
        (("-0x1p+0", "0x1.001p+0"), ("0x1.002p+0", "0x1.001p+0"), 0x33800000),
        # The chain starts from +0: a product of -0 leaves +0.
        (("-0x0p+0",), ("0x1p+0",), 0),
        # A product that vanishes below the least subnormal leaves the sign of the sum.
        (("-0x1p-100",), ("0x1p-100",), 0x80000000),
        # Subnormal terms add up.
        (("0x1p-75",) * 3, ("0x1p-74",) * 3, 3),
        # Overflow stays.
        (("0x1p+127", "-0x1p+127"), ("0x1p+1", "0x1p+0"), 0x7F800000),
    ],
)
def test_one_output(native: Library, f32: Parse, a: Sequence[str], b: Sequence[str], expected: int) -> None:
    row, column = f32(a).reshape(1, -1), f32(b).reshape(-1, 1)
    assert products.mm(row, column).view(np.uint32).tolist() == [[expected]]
    assert products.linear(row, products.pack(column, layout="kn")).view(np.uint32).tolist() == [[expected]]


def test_the_bias_is_added_once_at_the_end(native: Library, f32: Parse) -> None:
    """With the bias as start, 2^24 + 1 + 1 would be 2^24; added to 2 at the end it is 2^24 + 2."""
    row, column = f32(["0x1p+0"] * 2).reshape(1, 2), f32(["0x1p+0"] * 2).reshape(2, 1)
    assert products.mm(row, column, f32([BIG])).tolist() == [[2.0**24 + 2]]


def test_accumulating_is_one_more_add(native: Library, f32: Parse) -> None:
    row, column = f32(["0x1p+0"] * 2).reshape(1, 2), f32(["0x1p+0"] * 2).reshape(2, 1)
    out = f32([BIG]).reshape(1, 1)
    assert products.mm(row, column, out=out, accumulate=True) is out
    assert out.tolist() == [[2.0**24 + 2]]


def test_nothing_to_add_is_plus_zero(native: Library) -> None:
    product = products.mm(np.empty((2, 0), dtype=np.float32), np.empty((0, 3), dtype=np.float32))
    assert product.view(np.uint32).tolist() == [[0] * 3] * 2
