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


def frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "array",
    [
        X,
        X[1:, 2:],
        X[:, 2:],
        X.T,
        X.T[1:],
        X[:, ::2],
        X[::-1],
        X[:0],
        X[:, :0],
        X[1:, :2],
        np.ones((2, 3, 5), np.float32)[:, 1:],
        X.view(np.matrix),
        frozen(X.copy()),
        frozen(X.copy())[1:, 1:],
        np.float32(2).reshape(()),
        X.astype(np.uint16)[1:],
        X.astype(np.float16).T,
    ],
)
def test_a_pointer_is_that_of_the_first_element(array: np.ndarray) -> None:
    assert arrays.pointer(array) == array.__array_interface__["data"][0]


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (X.tolist(), "`x` must be a float32 array of native byte order, got list (here)"),
        (X.astype(">f4"), "`x` must be a float32 array of native byte order, got >f4 (here)"),
        (
            np.zeros(49, np.uint8)[1:].view(np.float32).reshape(3, 4),
            "`x` must be a float32 array of native byte order, got an",
        ),
        (X[0], "`x` must have 2 dimensions, got [4] (here)"),
        (X[:2], "`x` must be [3, 4], got [2, 4] (here)"),
        (X.T.copy().T, "`x` must be C-contiguous, got strides (4, 12) (here)"),
        (frozen(X.copy()), "`x` must be writable (here)"),
    ],
)
def test_what_has_gaps_or_does_not_fit_has_no_address(array: np.ndarray, sentence: str) -> None:
    assert arrays.plain_address(array, (3, 4)) == 0
    with pytest.raises(NumericsError) as refused:
        arrays.whole_address("x", array, (3, 4), n_dims=2, writable=True, where="here")
    assert str(refused.value).startswith(sentence)


def test_what_is_whole_has_its_address_at_one_look_or_at_more() -> None:
    assert arrays.plain_address(X, (3, 4)) == arrays.pointer(X)
    for array in (X, frozen(X.copy()), X.view(np.matrix), X[:0]):
        assert arrays.whole_address("x", array, array.shape, where="here") == arrays.pointer(array)


@pytest.mark.parametrize("number", [1e300, 0.1, float("nan")])
def test_a_scalar_must_be_a_float32_value(number: float) -> None:
    with pytest.raises(NumericsError) as refused:
        arrays.float32_value("eps", number, where="here")
    assert str(refused.value) == f"`eps` must be a float32 value, got {number.hex()} (here)"
    assert arrays.float32_value("eps", float("inf"), where="here") == float("inf")
