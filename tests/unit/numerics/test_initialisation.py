"""Sizes that do not fit are refused in one sentence; tests/spec/test_n22.py and tests/oracle hold the bits."""

from __future__ import annotations

import pytest

from samebits.errors import NumericsError
from samebits.numerics.initialisation import kaiming_uniform
from samebits.numerics.random import Purpose, Stream

STREAM = Stream(0, Purpose.INITIALISATION)


@pytest.mark.parametrize("shape", [(1, 0), (-1, 4)])
def test_sizes_that_do_not_fit_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(NumericsError, match=r"a matrix must have a column at least, got \[-?\d, \d\]"):
        kaiming_uniform(*shape, STREAM)


def test_more_elements_than_a_stream_has_are_refused() -> None:
    with pytest.raises(NumericsError, match=r"elements of a random stream must be from 0 to 2\^42 - 1"):
        kaiming_uniform(2**22, 2**20 + 1, STREAM)


def test_no_rows_are_a_matrix() -> None:
    assert kaiming_uniform(0, 4, STREAM).shape == (0, 4)
