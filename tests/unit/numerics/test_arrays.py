"""What the kernels demand of an array, and what they are told of it."""

from __future__ import annotations

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics import arrays

X = np.ones((3, 4), dtype=np.float32)


def test_an_unaligned_array_is_refused() -> None:
    unaligned = np.zeros(9, dtype=np.uint8)[1:].view(np.float32)
    with pytest.raises(NumericsError, match="native byte order, got an unaligned one"):
        arrays.check_f32("x", unaligned, n_dims=1, where="here")


def test_any_number_of_dimensions_may_be_let_through() -> None:
    arrays.check_f32("x", X, n_dims=None, where="here")
    with pytest.raises(NumericsError, match=r"`x` must have 1 dimensions, got \[3, 4\] \(here\)"):
        arrays.check_f32("x", X, n_dims=1, where="here")


def test_strides_are_told_in_elements() -> None:
    room = np.ones((3, 10), dtype=np.float32)
    assert arrays.row_stride("x", room[:, :4], where="here") == 10
    assert arrays.row_stride("x", room[:1, :4], where="here") == 4
    assert arrays.row_stride("x", room[::2], where="here") == 20


def test_a_stride_of_part_of_an_element_is_refused() -> None:
    with pytest.raises(NumericsError, match="whole elements, got 6 bytes"):
        arrays.whole_stride("x", 6, where="here")


def test_rows_with_gaps_inside_are_refused() -> None:
    with pytest.raises(NumericsError, match="the rows of `x` must be contiguous"):
        arrays.row_stride("x", X[:, ::2], where="here")


def test_scratch_starts_on_a_cache_line() -> None:
    for n in (1, 5, 1000):
        scratch = arrays.empty_by_lines(n)
        assert scratch.shape == (n,)
        assert arrays.pointer(scratch) % 64 == 0


def test_a_pointer_is_that_of_the_first_element() -> None:
    assert arrays.pointer(X[1:, 2:]) - arrays.pointer(X) == (4 + 2) * 4
