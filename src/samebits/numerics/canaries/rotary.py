"""Canaries of rotary tables, of rotation and of an embedding's gradient."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from samebits.numerics import rotary
from samebits.numerics.arrays import F32
from samebits.numerics.canaries.canary import Canary, pattern
from samebits.numerics.embedding import embedding_backward
from samebits.numerics.oracle import rotary as oracle

N_POSITIONS, N_HEADS, D, THETA = 5, 2, 46, 10000
N_TOKENS, WIDTH, N_ROWS = 9, 37, 3
Rows = Sequence[Sequence[int]]


def _tables(positions: float) -> F32:
    cos, sin = rotary.tables(int(positions), rotary.inverse_frequencies(D, THETA))
    return np.concatenate([cos.ravel(), sin.ravel()])


def _tables_answer(_: int) -> list[int]:
    frequencies = [oracle.inverse_frequency(i, D, Fraction(THETA)) for i in range(D // 2)]
    rows = [oracle.table_row(position, frequencies) for position in range(N_POSITIONS)]
    return [word for part in (0, 1) for row in rows for word in row[part]]


def _rotation() -> tuple[F32, F32, F32]:
    """Return numbers to turn, and what takes the place of cosines and sines: exponents of all sorts."""
    cos, sin = (pattern(seed, N_POSITIONS, D // 2, low=60, high=127) for seed in (66, 67))
    return pattern(65, N_POSITIONS, N_HEADS, D, low=60, high=127), cos, sin


def _rotate(x: F32, cos: F32, sin: F32) -> F32:
    return np.concatenate([rotary.rotate(x, cos, sin), rotary.rotate_backward(x, cos, sin)])


def _rotate_answer(x: Sequence[Rows], cos: Rows, sin: Rows) -> list[list[list[int]]]:
    return [
        [oracle.rotate(head, cos[i], sin[i], backward=backward) for head in row]
        for backward in (False, True)
        for i, row in enumerate(x)
    ]


def _gradients() -> tuple[F32, F32]:
    return pattern(68, N_TOKENS, WIDTH, low=118, high=127), pattern(69, N_ROWS, WIDTH, low=118, high=127)


def _ids() -> list[int]:
    return [token % 2 * 2 for token in range(N_TOKENS)]


CANARIES = (
    Canary(
        "N-20",
        "rotary_tables",
        lambda: (float(N_POSITIONS),),
        _tables,
        _tables_answer,
        "0089e2b8ba40d880ca908be15e422a3fd9b239523e64981d6ae0a281d26e4025",
    ),
    Canary(
        "N-20",
        "rotate",
        _rotation,
        _rotate,
        _rotate_answer,
        "e734f6993f413137420a25a161d8cca8eb42d8862280854d615f925c7bd4daf9",
    ),
    Canary(
        *("N-20", "embedding_backward", _gradients),
        lambda dout, held: embedding_backward(dout, np.array(_ids()), held, accumulate=True),
        *(
            lambda dout, held: oracle.embedding_backward(dout, _ids(), held),
            "f1659547caff457559394d4cd22289e018ce98e7ad7fa9e83fd75bcd21c59484",
        ),
    ),
)
