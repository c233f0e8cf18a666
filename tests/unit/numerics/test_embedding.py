"""Tokens and arrays that do not fit are refused in one sentence; tests/oracle holds every bit of what fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics.embedding import embedding, embedding_backward

TABLE = np.ones((3, 4), dtype=np.float32)
IDS = np.array([0, 2])
NARROW: Any = IDS.astype(np.int32)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: embedding(TABLE, NARROW), "`ids` must be a contiguous int64 array of one dimension, got int32 [2]"),
        (lambda: embedding(TABLE, IDS[::-1]), "`ids` must be"),
        (lambda: embedding(TABLE, IDS + 1), "`ids` must be from 0 to 2, got 1 to 3 (embedding, N-20)"),
        (lambda: embedding(TABLE, IDS - 1), "`ids` must be from 0 to 2, got -1 to 1"),
        (lambda: embedding(TABLE.T, IDS), "the rows of `table` must be contiguous"),
        (lambda: embedding(TABLE, IDS, out=TABLE[:2]), "`out` must not share memory with `table`"),
        (lambda: embedding(TABLE, IDS, out=TABLE), "`out` must be [2, 4], got [3, 4]"),
        (lambda: embedding_backward(TABLE, IDS, TABLE), "`dout` must be [2, 4], got [3, 4]"),
        (lambda: embedding_backward(TABLE[:2], IDS, TABLE), "`out` must not share memory with `dout`"),
    ],
)
def test_bad_arguments_are_refused(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(NumericsError) as refused:
        call()
    assert str(refused.value).startswith(sentence)
