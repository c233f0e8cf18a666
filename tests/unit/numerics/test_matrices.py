"""What matrix products demand, each demand refused once; the products' own tests hold the sentences."""

from __future__ import annotations

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics import matrices
from samebits.numerics.arrays import FLOAT32, UINT16, pointer

X = np.ones((3, 4), dtype=np.float32)
ROOM = np.ones((6, 10), dtype=np.float32)
WORDS = np.ones((3, 4), dtype=np.uint16)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (X, (4, 1)),
        (X.T, (1, 4)),
        (ROOM[:, :4], (10, 1)),
        (ROOM[:, :4].T, (1, 10)),
        (ROOM[:1, :4], (4, 1)),
        (ROOM[::2, :1], (20, 1)),
        (ROOM[:1, ::2], (1, 2)),
        (WORDS[:, 1:], (4, 1)),
        (X[:0], (4, 1)),
    ],
)
def test_strides_are_told_in_elements(array: np.ndarray, expected: tuple[int, int]) -> None:
    assert matrices.strides("a", array, where="here") == expected


def test_a_stride_must_be_one_element() -> None:
    with pytest.raises(NumericsError, match=r"a stride of `a` must be one element, got strides \(80, 8\) \(here\)"):
        matrices.strides("a", ROOM[::2, ::2], where="here")


def test_operands_are_told_by_place_and_strides() -> None:
    dtypes = (FLOAT32, UINT16)
    assert matrices.matrix("a", ROOM[1:, 2:5], where="here") == (pointer(ROOM) + 48, 10, 1)
    assert matrices.left_operand("x", WORDS, ("M", "K"), 4, dtypes=dtypes, where="here") == (pointer(WORDS), 4, 1)
    assert matrices.right_operand(X, "kn", dtypes=dtypes, where="here") == (3, 4, (pointer(X), 4, 1))
    assert matrices.right_operand(X, "nk", dtypes=dtypes, where="here") == (4, 3, (pointer(X), 1, 4))
    assert matrices.bias_pointer(None, 4, where="here") is None
    assert matrices.bias_pointer(X[1], 4, where="here") == pointer(X) + 16


def test_an_output_is_made_or_checked() -> None:
    made, (address, *strides) = matrices.output(None, (3, 4), accumulate=False, operands={}, where="here")
    assert (made.shape, address, strides) == ((3, 4), pointer(made), [4, 1])
    out = ROOM[:3, :4]
    assert matrices.output(out, (3, 4), accumulate=True, operands={"x": ROOM[:, 4:]}, where="here") == (
        out,
        (pointer(ROOM), 10, 1),
    )
    with pytest.raises(NumericsError, match="`out` must not share memory with `x`"):
        matrices.output(out, (3, 4), accumulate=False, operands={"x": ROOM[:, 3:]}, where="here")
