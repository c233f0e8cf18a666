"""N-18 on every library against the oracle, bit by bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samebits.numerics import norms
from samebits.numerics.arrays import F32
from samebits.numerics.library import Library
from samebits.numerics.oracle import norms as oracle
from samebits.numerics.oracle.binary32 import add

Numbers = Callable[..., F32]
Words = Callable[[F32], list[int]]
Placed = Callable[[F32, int, int], F32]
KINDS = ("plain", "subnormal", "cancelling", "overflowing", "special", "any bits")
EPS = (0.0, float.fromhex("0x1.4f8b58p-17"), 2.0**-149, 1.0)


def columns(matrix: list[list[int]], n: int) -> list[list[int]]:
    return [[row[column] for row in matrix] for column in range(n)]


shapes = {
    "rows": st.integers(0, 6),
    "n": st.one_of(st.integers(1, 20), st.integers(55, 75), st.integers(120, 300)),
    "gap": st.integers(0, 5),
    "offset": st.integers(0, 17),
    "kind": st.sampled_from(KINDS),
    "seed": st.integers(0, 2**32),
    "parameters": st.sampled_from(("both", "weight", "bias", "none")),
}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**shapes, eps=st.sampled_from(EPS), in_place=st.booleans())
def test_forward_equals_the_oracle(
    native: Library,
    numbers: Numbers,
    words: Words,
    placed: Placed,
    rows: int,
    n: int,
    gap: int,
    offset: int,
    kind: str,
    seed: int,
    parameters: str,
    eps: float,
    in_place: bool,
) -> None:
    x = numbers(kind, seed, rows, n)
    weight = numbers(kind, seed + 1, n) if parameters in ("both", "weight") else None
    bias = numbers(kind, seed + 2, n) if parameters in ("both", "bias") else None
    weight_words, bias_words = (None if array is None else words(array) for array in (weight, bias))
    (eps_word,) = words(np.array([eps], dtype=np.float32))
    expected = [oracle.layer_norm(row, weight_words, bias_words, eps_word) for row in words(x)]
    given_x = placed(x, gap, offset)
    y, mean, rstd = norms.layer_norm(given_x, weight, bias, eps=eps, out=given_x if in_place else None)
    assert list(zip(words(y), words(mean), words(rstd), strict=True)) == expected
    expected_rms = [oracle.rms_norm(row, weight_words, eps_word) for row in words(x)]
    given_x = placed(x, gap, offset)
    y, rstd = norms.rms_norm(given_x, weight, eps=eps, out=given_x if in_place else None)
    assert list(zip(words(y), words(rstd), strict=True)) == expected_rms


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**shapes, accumulate=st.booleans())
def test_backward_equals_the_oracle(
    native: Library,
    numbers: Numbers,
    words: Words,
    placed: Placed,
    rows: int,
    n: int,
    gap: int,
    offset: int,
    kind: str,
    seed: int,
    parameters: str,
    accumulate: bool,
) -> None:
    dy, x, held = (placed(numbers(kind, seed + i, rows, n), gap + i, offset) for i in range(3))
    mean, rstd = (numbers(kind, seed + i, rows) for i in (3, 4))
    weight = numbers(kind, seed + 5, n) if parameters in ("both", "weight") else None
    weight_words = None if weight is None else words(weight)

    def onto(terms: list[list[int]]) -> list[list[int]]:
        pairs = zip(words(held), terms, strict=True)
        return [list(map(add, *pair)) for pair in pairs] if accumulate else terms

    rows_of = (words(dy), words(x), words(mean), words(rstd))
    expected = onto([oracle.layer_norm_backward(*row, weight_words) for row in zip(*rows_of, strict=True)])
    rms_rows = zip(rows_of[0], rows_of[1], rows_of[3], strict=True)
    expected_rms = onto([oracle.rms_norm_backward(*row, weight_words) for row in rms_rows])
    out = held.copy()
    norms.layer_norm_backward(dy, x, mean, rstd, weight, out=out, accumulate=accumulate)
    assert words(out) == expected
    out = held.copy()
    norms.rms_norm_backward(dy, x, rstd, weight, out=out, accumulate=accumulate)
    assert words(out) == expected_rms
    if not accumulate:
        norms.layer_norm_backward(dy, x, mean, rstd, weight, out=dy)
        assert words(dy) == expected


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**shapes, accumulate=st.booleans())
def test_weight_gradients_equal_the_oracle(
    native: Library,
    numbers: Numbers,
    words: Words,
    placed: Placed,
    rows: int,
    n: int,
    gap: int,
    offset: int,
    kind: str,
    seed: int,
    parameters: str,
    accumulate: bool,
) -> None:
    dy, x = (placed(numbers(kind, seed + i, rows, n), gap + i, offset) for i in range(2))
    mean, rstd = (numbers(kind, seed + i, rows) for i in (2, 3))
    held = [numbers(kind, seed + i, n) for i in (4, 5)]

    def onto(array: F32, terms: list[int]) -> list[int]:
        return list(map(add, words(array), terms)) if accumulate else terms

    pairs = list(zip(columns(words(dy), n), columns(words(x), n), strict=True))
    found = [oracle.layer_norm_backward_weight(*pair, words(mean), words(rstd)) for pair in pairs]
    expected = [onto(array, list(terms)) for array, terms in zip(held, zip(*found, strict=True), strict=True)]
    expected_rms = onto(held[0], [oracle.rms_norm_backward_weight(*pair, words(rstd)) for pair in pairs])
    dw, db = (array.copy() for array in held)
    norms.layer_norm_backward_weight(dy, x, mean, rstd, out=dw, out_bias=db, accumulate=accumulate)
    assert [words(dw), words(db)] == expected
    dw = held[0].copy()
    norms.rms_norm_backward_weight(dy, x, rstd, out=dw, accumulate=accumulate)
    assert words(dw) == expected_rms


@pytest.mark.parametrize(("rows", "n"), [(1, 5000), (7, 3001), (300, 200)])
def test_threads_do_not_reach_the_bits(native: Library, numbers: Numbers, n_threads: int, rows: int, n: int) -> None:
    dy, x = numbers("plain", 1, rows, n), numbers("plain", 2, rows, n)
    weight, bias = numbers("plain", 3, n), numbers("plain", 4, n)
    y, mean, rstd = norms.layer_norm(x, weight, bias, eps=1.0)
    dx = norms.layer_norm_backward(dy, x, mean, rstd, weight)
    for row in range(rows):
        own = slice(row, row + 1)
        assert norms.layer_norm(x[own], weight, bias, eps=1.0)[0].tobytes() == y[own].tobytes()
        alone = norms.layer_norm_backward(dy[own], x[own], mean[own], rstd[own], weight)
        assert alone.tobytes() == dx[own].tobytes()
    gradients = np.stack(norms.layer_norm_backward_weight(dy, x, mean, rstd))
    for start in range(0, n, 999):
        part = slice(start, start + 999)
        alone = np.stack(norms.layer_norm_backward_weight(dy[:, part], x[:, part], mean, rstd))
        assert alone.tobytes() == gradients[:, part].tobytes()
