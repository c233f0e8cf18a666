"""Canaries of random words and what is made of them: a carry into the block's upper bits, whole groups and parts."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from samebits.numerics import random
from samebits.numerics.arrays import F32
from samebits.numerics.canaries.canary import Canary, pattern
from samebits.numerics.dropout import dropout
from samebits.numerics.initialisation import kaiming_uniform
from samebits.numerics.oracle import random as oracle
from samebits.numerics.random import Purpose, Stream

N_WORDS = 331
FIRST = 4 * 2**32 - 81
STREAM = Stream(0x0123456789ABCDEF, Purpose.BASE_DROPOUT, step=0x00FEDCBA, sample=0xDEADBEEF, tensor=0x1234)
FIELDS = oracle.Fields(0x0123456789ABCDEF, 4, 0x00FEDCBA, 0xDEADBEEF, 0x1234)

ROWS, COLUMNS, GAP = 5, 77, 3
DROPPED_FIRST = 2 * COLUMNS
# The least word that keeps an element is the word of element 262, which is kept.
P = 0.11177584528923035


def _words(n: int) -> F32:
    return random.words(STREAM, n, first=FIRST).view(np.float32)


def _words_answer(n: int) -> list[int]:
    return [oracle.word(FIELDS, FIRST + i) for i in range(n)]


def _dropout_operand() -> tuple[F32]:
    return (pattern(20, ROWS, COLUMNS + GAP, low=0, high=255),)


def _dropout(x: F32) -> F32:
    return dropout(x[:, :COLUMNS], P, STREAM, first=DROPPED_FIRST)


def _dropout_answer(x: list[list[int]]) -> list[list[int]]:
    p = Fraction(repr(P))
    return [
        [oracle.dropout(row[i], oracle.word(FIELDS, DROPPED_FIRST + r * COLUMNS + i), p) for i in range(COLUMNS)]
        for r, row in enumerate(x)
    ]


def _uniform(rows: int, fan_in: int) -> F32:
    return kaiming_uniform(rows, fan_in, STREAM)


def _uniform_answer(rows: int, n_columns: int) -> list[int]:
    return [oracle.uniform(oracle.word(FIELDS, element), n_columns) for element in range(rows * n_columns)]


CANARIES = (
    Canary(
        *("N-10", "random_words", lambda: (N_WORDS,), _words, _words_answer),
        "7dc0f5f8fe5b42032d709d3791359ca3700004470c2e222122d021498f434977",
    ),
    Canary(
        *("N-21", "dropout", _dropout_operand, _dropout, _dropout_answer),
        "72f282b61df9b0582d5baab15fc0b065a7e4fcdf13a5349fee8a95156eee9f16",
    ),
    Canary(
        *("N-22", "kaiming_uniform", lambda: (3, 101), _uniform, _uniform_answer),
        "779520ef3216766f12cbdd26b7552d4892fef46c07f3eeb8ff38e020faf044bf",
    ),
)
