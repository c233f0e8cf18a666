"""N-05: known answers of the bfloat16 product; each follows from the clause by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from samebits.numerics import products_bf16
from samebits.numerics.arrays import F32
from samebits.numerics.library import Library

Parse = Callable[[Sequence[str]], F32]
Terms = dict[int, tuple[float, float]]
LEAST = 2.0**-126


def product(terms: Terms, bias: float | None = None) -> int:
    """Return the bits of the sum of the products at the places given, zeros elsewhere."""
    k = max(terms) + 1
    a, b = np.zeros((1, k), dtype=np.float32), np.zeros((k, 1), dtype=np.float32)
    for place, (left, right) in terms.items():
        a[0, place], b[place, 0] = left, right
        assert (float(a[0, place]), float(b[place, 0])) == (left, right)
    weight = products_bf16.pack_bf16(b, layout="kn")
    bias_array = None if bias is None else np.array([bias], dtype=np.float32)
    word: int = products_bf16.linear_bf16(a, weight, bias_array).view(np.uint32)[0, 0].item()
    backward = products_bf16.linear_backward_bf16(a, products_bf16.pack_bf16(b, layout="nk"))
    assert bias is not None or backward.view(np.uint32).tolist() == [[word]]
    return word


def bits(value: float) -> int:
    array = np.array([value], dtype=np.float32)
    assert array[0] == value
    return int(array.view(np.uint32)[0])


BIG = (2.0**12, 2.0**12)
ONE = (1.0, 1.0)


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        # Even steps make one chain: 2^24 takes in 1 and 1, each lost by a tie to even. Odd steps make another, in which
        # 1 + 1 = 2 survives.
        ({0: BIG, 2: ONE, 4: ONE}, 2.0**24),
        ({0: BIG, 1: ONE, 3: ONE}, 2.0**24 + 2),
        ({0: BIG, 1: ONE, 2: ONE}, 2.0**24),
        # A block ends after 32 steps: the next one's 1 + 1 is summed before it meets 2^24.
        ({0: BIG, 30: ONE, 28: ONE}, 2.0**24),
        ({0: BIG, 32: ONE, 34: ONE}, 2.0**24 + 2),
        ({0: BIG, 32: ONE, 64: ONE}, 2.0**24),
        # One rounding per step: the odd chain's products stay exact, the even chain cancels.
        ({0: (1.0, -1.0), 2: (1.0 + 2.0**-7, 1.0 + 2.0**-7)}, 2.0**-6 + 2.0**-14),
    ],
)
def test_order(native: Library, terms: Terms, expected: float) -> None:
    assert product(terms) == bits(expected)


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        # The least normal number stays; half of it is a zero, of its sign (+0 once it meets the chain that is +0).
        ({0: (2.0**-63, 2.0**-63)}, bits(LEAST)),
        ({0: (2.0**-63, 2.0**-64)}, 0),
        ({0: (-(2.0**-63), 2.0**-64)}, 0),
        # A subnormal operand is a zero, whatever its partner.
        ({0: (2.0**-127, 2.0**100)}, 0),
        ({0: (2.0**100, 2.0**-133)}, 0),
        # A difference that would be subnormal vanishes, in a chain,
        ({0: (2.0**-63, 2.0**-63), 2: (-1.5 * 2.0**-63, 2.0**-63)}, 0),
        # between the chains,
        ({0: (2.0**-63, 2.0**-63), 1: (-1.5 * 2.0**-63, 2.0**-63)}, 0),
        # and between blocks.
        ({0: (1.5 * 2.0**-63, 2.0**-63), 32: (-(2.0**-63), 2.0**-63)}, 0),
        # What vanished does not come back: a quarter of the least four times over is nothing.
        ({0: (2.0**-64, 2.0**-64), 2: (2.0**-64, 2.0**-64), 4: (2.0**-64, 2.0**-64), 6: (2.0**-64, 2.0**-64)}, 0),
        # Too small is decided after rounding to 24 bits with any exponent. 2^-126 - 2^-151 is a tie, goes to 2^-126 ...
        ({0: (1.0, LEAST), 2: (-(2.0**-70), 2.0**-81)}, bits(LEAST)),
        # ... and what is a little less goes to 2^-126 - 2^-150 and vanishes, though binary32 itself would give 2^-126.
        ({0: (1.0, LEAST), 2: (-(1.0 + 2.0**-7) * 2.0**-70, 2.0**-81)}, 0),
        ({0: (-1.0, LEAST), 2: (1.5 * 2.0**-70, 2.0**-81)}, 0),
    ],
)
def test_flushing(native: Library, terms: Terms, expected: int) -> None:
    assert product(terms) == expected


def test_overflow_stays(native: Library) -> None:
    assert product({0: (2.0**127, 2.0), 2: (-(2.0**127), 1.0), 40: (-(2.0**127), 1.0)}) == 0x7F800000


def test_an_odd_number_of_steps_is_padded_with_plus_zero(native: Library) -> None:
    assert product({62: ONE}) == bits(1.0)
    assert product({63: ONE}) == bits(1.0)


def test_the_bias_is_added_once_at_the_end_and_not_flushed(native: Library) -> None:
    assert product({0: ONE, 1: ONE}, bias=2.0**24) == bits(2.0**24 + 2)
    assert product({0: (2.0**-63, 2.0**-63)}, bias=-1.5 * LEAST) == bits(-(2.0**-127))
    assert product({0: (0.0, 0.0)}, bias=2.0**-149) == 1


def test_accumulating_is_one_more_add_and_not_flushed(native: Library) -> None:
    one = np.ones((1, 1), dtype=np.float32)
    weight = products_bf16.pack_bf16(one, layout="kn")
    out = np.array([[2.0**-149]], dtype=np.float32)
    assert products_bf16.linear_bf16(0 * one, weight, out=out, accumulate=True) is out
    assert out.view(np.uint32).tolist() == [[1]]
    out[0, 0] = 2.0**24
    products_bf16.linear_backward_bf16(one, weight, out=out, accumulate=True)
    assert out.tolist() == [[2.0**24]]


def test_float32_operands_are_rounded_first(native: Library) -> None:
    """1 + 2^-8 is a tie and becomes 1; 1 + 3 * 2^-8 becomes 1 + 2^-6."""
    x = np.array([[1 + 2.0**-8, 1 + 3 * 2.0**-8]], dtype=np.float32)
    weight = products_bf16.pack_bf16(np.eye(2, dtype=np.float32), layout="kn")
    assert products_bf16.linear_bf16(x, weight).tolist() == [[1.0, 1 + 2.0**-6]]


def test_nothing_to_add_is_plus_zero(native: Library) -> None:
    weight = products_bf16.pack_bf16(np.empty((0, 3), dtype=np.float32), layout="kn")
    product_of_nothing = products_bf16.linear_bf16(np.empty((2, 0), dtype=np.float32), weight)
    assert product_of_nothing.view(np.uint32).tolist() == [[0] * 3] * 2
