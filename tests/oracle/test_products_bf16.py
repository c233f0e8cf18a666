"""N-05 on every library against the oracle, bit by bit; flushing by hand, which no x86-64 library needs, as well."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samebits.numerics import build, conversions, library, products_bf16
from samebits.numerics.arrays import BF16, F32
from samebits.numerics.canaries.check import check_canaries
from samebits.numerics.library import Library
from samebits.numerics.oracle import products_bf16 as oracle

Numbers = Callable[..., F32]
Words = Callable[[F32], list[int]]
LAYOUTS = ("rows", "columns", "spaced rows", "spaced columns")
# Biased exponents of both operands. Sums of two around 128 make products around 2^-126.
RANGES = ((100, 140), (110, 127), (50, 72), (60, 67), (55, 68), (63, 65), (0, 40), (185, 200), (0, 255), (1, 3))


def patterns(seed: int, exponents: tuple[int, int], *shape: int) -> BF16:
    """Return bfloat16 of biased exponents from the first to the second less one."""
    generator = np.random.default_rng([seed, *exponents, *shape])
    exponent = generator.integers(*exponents, shape, dtype=np.uint32)
    return (generator.integers(0, 1 << 16, shape, dtype=np.uint32) & 0x807F | exponent << 7).astype(np.uint16)


def laid_out(array: F32 | BF16, layout: str) -> F32 | BF16:
    """Return a copy with other strides."""
    rows, columns = array.shape
    if layout == "columns":
        return array.copy(order="F")
    if layout == "spaced rows":
        room = np.full((rows, columns + 5), 0x7FFF, dtype=array.dtype)[:, 2 : 2 + columns]
    elif layout == "spaced columns":
        room = np.full((columns, rows + 3), 0x7FFF, dtype=array.dtype)[:, 1 : 1 + rows].T
    else:
        return array.copy(order="C")
    room[...] = array
    return room


def check(a: BF16, b: BF16, bias: F32 | None, onto: F32 | None, layouts: tuple[str, str, str], words: Words) -> None:
    m, n = a.shape[0], b.shape[1]
    expected = oracle.linear_bf16(
        a.tolist(),
        b.tolist(),
        n=n,
        bias=None if bias is None else words(bias),
        onto=None if onto is None else words(onto),
    )
    wide_a, wide_b = conversions.convert_bf16_f32(a), conversions.convert_bf16_f32(b)
    for plain_left, plain_right in ((a, b), (wide_a, wide_b)):
        left, right = laid_out(plain_left, layouts[0]), laid_out(plain_right, layouts[1])
        packed = products_bf16.pack_bf16(right, layout="kn")
        assert products_bf16.pack_bf16(right.T, layout="nk").data.tobytes() == packed.data.tobytes()
        # Without `accumulate` nothing of what C held may come through.
        start = np.full((m, n), np.nan, dtype=np.float32) if onto is None else onto
        out = products_bf16.linear_bf16(
            left, packed, bias, out=laid_out(start, layouts[2]), accumulate=onto is not None
        )
        assert words(out) == expected
        if bias is None:
            transposed = products_bf16.pack_bf16(right.T, layout="kn")
            out = products_bf16.linear_backward_bf16(
                left, transposed, out=laid_out(start, layouts[2]), accumulate=onto is not None
            )
            assert words(out) == expected


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.tuples(st.integers(0, 9), st.integers(0, 40), st.integers(0, 70)),
    exponents=st.sampled_from(RANGES),
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
    exponents: tuple[int, int],
    layouts: tuple[str, str, str],
    *,
    with_bias: bool,
    accumulate: bool,
    seed: int,
) -> None:
    m, n, k = size
    bias = numbers("subnormal", seed + 2, n) if with_bias else None
    onto = numbers("any bits", seed + 3, m, n) if accumulate else None
    check(patterns(seed, exponents, m, k), patterns(seed + 1, exponents, k, n), bias, onto, layouts, words)


# Sizes on both sides of every block: runs of k, tiles of rows, panels, chunks of them.
SIZES = [
    (1, 3, 3200),
    (6, 3, 3200),
    (9, 3, 1700),
    (14, 33, 700),
    (2, 70, 33),
    (17, 5, 97),
    (33, 33, 31),
    (70, 2, 65),
    (5, 300, 3),
    (530, 2, 9),
    (15, 66, 64),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("n_threads", [1, 3], indirect=True)
def test_blocks_do_not_reach_the_bits(
    native: Library, words: Words, n_threads: int, size: tuple[int, int, int]
) -> None:
    m, n, k = size
    check(patterns(5, (110, 130), m, k), patterns(6, (110, 130), k, n), None, None, ("rows", "rows", "rows"), words)
    assert library.threads() == n_threads


@pytest.mark.parametrize("exponents", [(110, 130), (56, 67)])
@pytest.mark.parametrize("size", [(450, 300, 900), (1, 5000, 300), (16, 1024, 2000), (900, 60, 3300)])
def test_threads_rows_and_libraries_do_not_reach_the_bits(
    native: Library, size: tuple[int, int, int], exponents: tuple[int, int]
) -> None:
    m, n, k = size
    a, b = patterns(8, exponents, m, k), patterns(9, exponents, k, n)
    weight, transposed = products_bf16.pack_bf16(b, layout="kn"), products_bf16.pack_bf16(b, layout="nk")
    expected = products_bf16.linear_bf16(a, weight).tobytes()
    before = library.threads()
    try:
        for n_threads in (1, 2, 3, 8):
            library.set_threads(n_threads)
            assert products_bf16.pack_bf16(b, layout="kn").data.tobytes() == weight.data.tobytes()
            assert products_bf16.linear_bf16(a, weight).tobytes() == expected
            assert products_bf16.linear_backward_bf16(a, transposed).tobytes() == expected
    finally:
        library.set_threads(before)
    one_by_one = b"".join(products_bf16.linear_bf16(a[i : i + 1], weight).tobytes() for i in range(min(m, 20)))
    assert one_by_one == expected[: len(one_by_one)]
    with library.using(library.open_library(library.runnable_isas()[0])):
        assert products_bf16.linear_bf16(a[:40], weight).tobytes() == expected[: min(m, 40) * n * 4]


@pytest.fixture(scope="module")
def by_hand(native_libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """A library that flushes as those of other processors do: by hand, where exponents say that it may be needed."""
    isa = [isa for isa in library.runnable_isas() if isa != "amx"][-1]
    folder = tmp_path_factory.mktemp("by_hand")
    paths = build.build(folder=folder, isas=[isa], extra_flags=["-O1", "-DSB_FLUSH_BY_HAND"], compiler="")
    return Library(paths[isa])


@pytest.mark.parametrize("exponents", RANGES)
def test_flushing_by_hand_equals_the_oracle(by_hand: Library, words: Words, exponents: tuple[int, int]) -> None:
    with library.using(by_hand):
        check_canaries()
        for seed, size in enumerate([(7, 33, 70), (2, 9, 31), (1, 3, 130)]):
            m, n, k = size
            a, b = patterns(seed, exponents, m, k), patterns(seed + 1, exponents, k, n)
            check(a, b, None, None, ("rows", "rows", "rows"), words)


def edges(generator: np.random.Generator, n: int) -> tuple[BF16, BF16]:
    """Return rows and columns whose even chains end within a few 2^-152 of 2^-126: where flushing is decided."""
    k = 6
    a, b = np.zeros((n, k), dtype=np.float32), np.zeros((k, n), dtype=np.float32)
    a[:, 0], b[0] = generator.choice([-1.0, 1.0], n), 2.0**-126
    a[:, 2], b[2] = -a[:, 0] * generator.integers(128, 256, n) * 2.0**-78, 2.0 ** -generator.integers(78, 84, n)
    a[:, 4], b[4] = generator.integers(-1, 2, n) * 2.0**-75, 2.0 ** -generator.integers(74, 90, n)
    return conversions.convert_f32_bf16(a), conversions.convert_f32_bf16(b)


def test_the_edge_of_flushing(native: Library, words: Words) -> None:
    a, b = edges(np.random.default_rng(3), 60)
    check(a, b, None, None, ("rows", "rows", "rows"), words)


def test_the_edge_of_flushing_by_hand(by_hand: Library, words: Words) -> None:
    with library.using(by_hand):
        a, b = edges(np.random.default_rng(3), 60)
        check(a, b, None, None, ("rows", "rows", "rows"), words)


def test_the_edge_is_met() -> None:
    """Of these outputs, some are flushed that IEEE's gradual underflow rounds to 2^-126, and some are not flushed."""
    from samebits.numerics.oracle import binary32
    from samebits.numerics.oracle.conversions import bf16_to_f32

    a, b = edges(np.random.default_rng(3), 60)
    kinds = set()
    for row, column in zip(a.tolist(), b.T.tolist(), strict=True):
        gradual = flushing = 0
        for x, y in zip(map(bf16_to_f32, row), map(bf16_to_f32, column), strict=True):
            gradual, flushing = binary32.fma(x, y, gradual), oracle.flushing_fma(x, y, flushing)
        if gradual & 0x7FFFFFFF == 0x00800000:
            kinds.add(flushing & 0x7FFFFFFF)
    assert kinds == {0, 0x00800000}


@pytest.mark.parametrize("m", [0, 70])
def test_more_threads_than_tiles_of_rows_leave_nothing_to_do_to_some(native: Library, m: int) -> None:
    generator = np.random.default_rng(12)
    x, weight = (generator.standard_normal(shape).astype(np.float32) for shape in ((m, 1024), (64, 1024)))
    packed = products_bf16.pack_bf16(weight, layout="nk")
    expected = products_bf16.linear_bf16(x, packed).tobytes()
    before = library.threads()
    try:
        for threads in (2, 12, 64):
            library.set_threads(threads)
            assert products_bf16.linear_bf16(x, packed).tobytes() == expected
    finally:
        library.set_threads(before)
