"""A stream is a value; tests/spec/test_n10.py holds its words and limits."""

from __future__ import annotations

import numpy as np

from samebits.numerics import random
from samebits.numerics.random import Purpose, Stream


def test_equal_streams_give_equal_words() -> None:
    stream = Stream(1, Purpose.DROPOUT, 2, 3, 4)
    assert stream == Stream(1, Purpose.DROPOUT, step=2, sample=3, tensor=4)
    assert hash(stream) == hash(Stream(1, Purpose.DROPOUT, step=2, sample=3, tensor=4))
    assert stream.address == stream.address
    assert random.words(stream, 9).tolist() == random.words(Stream(1, Purpose.DROPOUT, 2, 3, 4), 9).tolist()


def test_every_field_reaches_the_words() -> None:
    streams = [
        *(Stream(0, Purpose.DROPOUT), Stream(1, Purpose.DROPOUT), Stream(2**32, Purpose.DROPOUT)),
        *(Stream(0, Purpose.BASE_DROPOUT), Stream(0, Purpose.DROPOUT, step=1), Stream(0, Purpose.DROPOUT, sample=1)),
        Stream(0, Purpose.DROPOUT, tensor=1),
    ]
    assert len({random.words(stream, 4).tobytes() for stream in streams}) == len(streams)


def test_words_are_new_and_32_bits_wide() -> None:
    words = random.words(Stream(0, Purpose.BASE_DROPOUT), 0)
    assert (words.dtype, words.shape) == (np.dtype(np.uint32), (0,))
