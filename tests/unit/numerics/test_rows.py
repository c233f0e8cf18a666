"""What row kernels demand, each demand refused once; the families' own tests hold the sentences."""

from __future__ import annotations

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics import rows
from samebits.numerics.arrays import pointer

X = np.ones((3, 4), dtype=np.float32)


def test_a_matrix_is_told_by_pointer_and_stride() -> None:
    assert rows.check_rows("x", X[:, :2], where="here") == (3, 2)
    assert rows.operand("x", X[:, :2], (3, 2), where="here") == (pointer(X), 4)
    assert rows.operand("x", X, (3, 4), where="here") == (pointer(X), 4)
    with pytest.raises(NumericsError, match=r"`x` must be \[3, 2\], got \[3, 4\]"):
        rows.operand("x", X, (3, 2), where="here")


def test_vectors_may_be_missing_where_they_are_optional() -> None:
    assert rows.optional_vector("weight", None, 4, where="here") is None
    assert rows.optional_vector("weight", X[0], 4, where="here") == pointer(X)
    with pytest.raises(NumericsError, match="`weight` must be C-contiguous"):
        rows.vector("weight", X[:, 0], 3, where="here")


def test_an_output_may_be_an_operand_itself_but_no_part_of_one() -> None:
    room = np.ones((3, 5), dtype=np.float32)
    out, address, stride = rows.output(room[:, :4], (3, 4), over={"x": room[:, :4]}, apart={}, where="here")
    assert (out.shape, address, stride) == ((3, 4), pointer(room), 5)
    for wrong, accumulate in ((room[:, 1:], False), (room[:, :4], True)):
        with pytest.raises(NumericsError, match="`out` must not share memory with `x`"):
            rows.output(wrong, (3, 4), over={"x": room[:, :4]}, apart={}, accumulate=accumulate, where="here")
    frozen = np.ones((3, 4), dtype=np.float32)
    frozen.flags.writeable = False
    with pytest.raises(NumericsError, match="`out` must be writable"):
        rows.output(frozen, (3, 4), over={}, apart={}, where="here")


def test_an_output_vector_is_made_or_checked() -> None:
    made, address = rows.output_vector("out", None, 4, apart={}, accumulate=False, where="here")
    assert (made.shape, address) == ((4,), pointer(made))
    with pytest.raises(NumericsError, match="`out` must be given to accumulate into"):
        rows.output_vector("out", None, 4, apart={}, accumulate=True, where="here")
