"""Words, dropout and uniform numbers, on the reference and compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from samebits.numerics.arrays import F32
from samebits.numerics.dropout import dropout
from samebits.numerics.initialisation import kaiming_uniform
from samebits.numerics.oracle.random import Fields
from samebits.numerics.random import Purpose, Stream, words
from samebits.numerics.reference.random import fields_at

STREAM = Stream(seed=2**63 + 12345, purpose=Purpose.SAMPLING, step=2**24 - 1, sample=2**32 - 1, tensor=2**16 - 1)


def test_fields_are_read_from_their_words() -> None:
    own = Fields(STREAM.seed, int(STREAM.purpose), STREAM.step, STREAM.sample, STREAM.tensor)
    assert fields_at(STREAM.address) == own


def test_words(same_on_both: Any) -> None:
    same_on_both(lambda: words(STREAM, 11, first=2**34 + 3))


def test_dropout(same_on_both: Any, numbers: Callable[..., F32]) -> None:
    x = numbers(1, 4, 12)[:, 2:9]
    kept = same_on_both(lambda: dropout(x, 0.4, STREAM, first=5))
    assert 0 < np.count_nonzero(np.frombuffer(kept[0], dtype=np.float32)) < x.size


def test_dropout_in_place(same_on_both: Any, numbers: Callable[..., F32]) -> None:
    def in_place() -> F32:
        x = numbers(2, 3, 5)
        return dropout(x, 0.5, STREAM, out=x)

    same_on_both(in_place)


def test_uniform_numbers(same_on_both: Any) -> None:
    same_on_both(lambda: kaiming_uniform(3, 7, STREAM))
