"""Rotary embedding and embedding, on the reference and compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from samebits.numerics.arrays import F32
from samebits.numerics.embedding import embedding, embedding_backward
from samebits.numerics.rotary import inverse_frequencies, rotate, rotate_backward, tables

IDS = np.array([3, 0, 3, 3], dtype=np.int64)


@pytest.mark.parametrize("turn", [rotate, rotate_backward])
def test_rotation(same_on_both: Any, numbers: Callable[..., F32], turn: Callable[..., F32]) -> None:
    x = numbers(1, 5, 4, 6)[:, 1:3]

    def whole() -> list[F32]:
        cos, sin = tables(5, inverse_frequencies(6, 10000.0))
        return [cos, sin, turn(x, cos, sin), turn(x.copy(), cos, sin, out=x.copy())]

    same_on_both(whole)


def test_rows_of_a_table(same_on_both: Any, numbers: Callable[..., F32]) -> None:
    table = numbers(2, 6, 8)[:, :5]
    same_on_both(lambda: [embedding(table, IDS), embedding(table, IDS[:0])])


@pytest.mark.parametrize("accumulate", [False, True])
def test_the_gradient_of_a_table(same_on_both: Any, numbers: Callable[..., F32], accumulate: bool) -> None:
    dout, held = numbers(3, 4, 5), numbers(4, 6, 5)
    same_on_both(lambda: embedding_backward(dout, IDS, held.copy(), accumulate=accumulate))
