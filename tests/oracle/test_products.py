"""N-04 on every library against the oracle, bit by bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samebits.numerics import library, products
from samebits.numerics.arrays import F32
from samebits.numerics.library import Library
from samebits.numerics.oracle import products as oracle

Numbers = Callable[..., F32]
Words = Callable[[F32], list[int]]
KINDS = ("plain", "subnormal", "cancelling", "overflowing", "special", "any bits")
LAYOUTS = ("rows", "columns", "spaced rows", "spaced columns", "off a line")


def laid_out(array: F32, layout: str) -> F32:
    """Return a copy with other strides or another alignment."""
    rows, columns = array.shape
    if layout == "columns":
        return array.copy(order="F")
    if layout == "spaced rows":
        room = np.full((rows, columns + 5), np.nan, dtype=np.float32)[:, 2 : 2 + columns]
    elif layout == "spaced columns":
        room = np.full((columns, rows + 3), np.nan, dtype=np.float32)[:, 1 : 1 + rows].T
    elif layout == "off a line":
        room = np.empty(rows * columns + 1, dtype=np.float32)[1:].reshape(rows, columns)
    else:
        return array.copy(order="C")
    room[...] = array
    return room


def check(a: F32, b: F32, bias: F32 | None, onto: F32 | None, layouts: tuple[str, str, str], words: Words) -> None:
    expected = oracle.mm(
        words(a),
        words(b),
        n=b.shape[1],
        bias=None if bias is None else words(bias),
        onto=None if onto is None else words(onto),
    )
    a, b = laid_out(a, layouts[0]), laid_out(b, layouts[1])
    before = a.tobytes(), b.tobytes()
    for run in (
        lambda out: products.mm(a, b, bias, out=out, accumulate=onto is not None),
        lambda out: products.linear(a, products.pack(b, layout="kn"), bias, out=out, accumulate=onto is not None),
        lambda out: products.linear(a, products.pack(b.T, layout="nk"), bias, out=out, accumulate=onto is not None),
    ):
        # Without `accumulate` nothing of what C held may come through.
        start = np.full((a.shape[0], b.shape[1]), np.nan, dtype=np.float32) if onto is None else onto
        assert words(run(laid_out(start, layouts[2]))) == expected
    if bias is None:
        out = laid_out(
            np.full((a.shape[0], b.shape[1]), np.nan, dtype=np.float32) if onto is None else onto, layouts[2]
        )
        transposed = products.pack(b.T, layout="kn")
        assert words(products.linear_backward(a, transposed, out=out, accumulate=onto is not None)) == expected
    assert (a.tobytes(), b.tobytes()) == before


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.tuples(st.integers(0, 19), st.integers(0, 40), st.integers(0, 20)),
    kind=st.sampled_from(KINDS),
    layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 3),
    with_bias=st.booleans(),
    accumulate=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_products_equal_the_oracle(
    native: Library,
    numbers: Numbers,
    words: Words,
    size: tuple[int, int, int],
    kind: str,
    layouts: tuple[str, str, str],
    *,
    with_bias: bool,
    accumulate: bool,
    seed: int,
) -> None:
    m, n, k = size
    a, b = numbers(kind, seed, m, k), numbers(kind, seed + 1, k, n)
    bias = numbers(kind, seed + 2, n) if with_bias else None
    onto = numbers(kind, seed + 3, m, n) if accumulate else None
    check(a, b, bias, onto, layouts, words)


# Sizes on both sides of every block: runs of k, blocks of rows, chunks of columns, one row, ranks of LoRA.
SIZES = [
    (1, 9, 1600), (3, 5, 769), (390, 3, 4), (1, 600, 5), (7, 300, 6), (400, 20, 3), (17, 9, 65), (64, 8, 64),
    (2, 515, 9), (8, 40, 70), (16, 70, 33), (32, 33, 20), (50, 8, 40), (50, 16, 20), (30, 32, 33),
]  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("layouts", "n_threads"),
    [(("rows", "rows", "rows"), 1), (("columns", "rows", "rows"), 3), (("rows", "columns", "columns"), 8)],
    indirect=["n_threads"],
)
def test_blocks_do_not_reach_the_bits(
    native: Library,
    numbers: Numbers,
    words: Words,
    n_threads: int,
    size: tuple[int, int, int],
    layouts: tuple[str, str, str],
) -> None:
    m, n, k = size
    onto = numbers("plain", 7, m, n)
    check(numbers("plain", 5, m, k), numbers("plain", 6, k, n), None, onto, layouts, words)
    assert library.threads() == n_threads


@pytest.mark.parametrize("size", [(450, 300, 900), (1, 5000, 300), (2000, 16, 1024), (16, 1024, 2000)])
def test_threads_rows_and_libraries_do_not_reach_the_bits(
    native: Library, numbers: Numbers, size: tuple[int, ...]
) -> None:
    m, n, k = size
    a, b = numbers("plain", 8, m, k), numbers("plain", 9, k, n)
    expected = products.mm(a, b).tobytes()
    before = library.threads()
    try:
        for n_threads in (2, 3, 8):
            library.set_threads(n_threads)
            assert products.mm(a, b).tobytes() == expected
            assert products.mm(a, np.asfortranarray(b)).tobytes() == expected
            assert products.mm(np.asfortranarray(a), b).tobytes() == expected
            assert products.linear(a, products.pack(b, layout="kn")).tobytes() == expected
            assert products.linear_backward(a, products.pack(b, layout="nk")).tobytes() == expected
    finally:
        library.set_threads(before)
    one_by_one = b"".join(products.mm(a[i : i + 1], b).tobytes() for i in range(min(m, 40)))
    assert one_by_one == expected[: len(one_by_one)]
    with library.using(library.open_library(library.runnable_isas()[0])):
        assert products.mm(a[:100], b).tobytes() == expected[: min(m, 100) * n * 4]


@pytest.mark.parametrize("threads", [12, 64])
def test_more_threads_than_tiles_of_rows_leave_nothing_to_do_to_some(
    native: Library, numbers: Numbers, threads: int
) -> None:
    x, weight = numbers("plain", 10, 70, 1024), products.pack(numbers("plain", 11, 64, 1024), layout="nk")
    dy = numbers("plain", 12, 70, 64)
    expected = products.linear(x, weight).tobytes(), products.linear_backward(dy, weight).tobytes()
    before = library.threads()
    try:
        library.set_threads(threads)
        assert (products.linear(x, weight).tobytes(), products.linear_backward(dy, weight).tobytes()) == expected
    finally:
        library.set_threads(before)
