"""Random words, dropout and uniform numbers (N-10, N-21, N-22)."""

from __future__ import annotations

from collections.abc import Callable

from samebits.numerics.oracle.random import Fields, between, kept_or_zero, word
from samebits.numerics.reference.memory import pattern, put, rows_of, vector


def fields_at(stream: int) -> Fields:
    """Return what names the words of a stream: the key's two words and the counter's words 1 to 3."""
    low, high, sample, step, place = vector(stream, 5).tolist()
    version, purpose, tensor = place >> 24, place >> 16 & 0xFF, place & 0xFFFF
    return Fields(high << 32 | low, purpose, step, sample, tensor, version)


def random_words(n: int, stream: int, first: int, out: int, _: int) -> int:
    """Write the words of elements from `first` on."""
    fields = fields_at(stream)
    put(vector(out, n), [word(fields, first + i) for i in range(n)])
    return 0


def dropout(
    rows: int,
    n: int,
    x: int,
    x_row: int,
    stream: int,
    first: int,
    threshold: int,
    scale: float,
    out: int,
    out_row: int,
    _: int,
) -> int:
    """Write the elements that are kept, scaled, and zeros in place of the others."""
    fields, factor = fields_at(stream), pattern(scale)
    kept = [
        [kept_or_zero(x, word(fields, first + r * n + i), threshold, factor) for i, x in enumerate(row)]
        for r, row in enumerate(rows_of(x, rows, n, x_row).tolist())
    ]
    put(rows_of(out, rows, n, out_row), kept)
    return 0


def uniform(n: int, stream: int, first: int, bound: float, out: int, _: int) -> int:
    """Write numbers from -bound to below bound."""
    fields, end = fields_at(stream), pattern(bound)
    put(vector(out, n), [between(word(fields, first + i), end) for i in range(n)])
    return 0


KERNELS: dict[str, Callable[..., int]] = {
    "sb_random_words": random_words,
    "sb_dropout_f32": dropout,
    "sb_uniform_f32": uniform,
}
