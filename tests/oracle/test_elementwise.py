"""N-02 and N-09 on every library against the oracle, bit by bit; the software fma among them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samebits.numerics import elementwise
from samebits.numerics.arrays import F32
from samebits.numerics.library import Library
from samebits.numerics.oracle import binary32
from samebits.numerics.oracle import elementwise as oracle

Numbers = Callable[..., F32]
Words = Callable[[F32], list[int]]
KINDS = ("plain", "subnormal", "cancelling", "overflowing", "special", "any bits")
BINARY = ("add", "sub", "mul", "div")
ORACLE = {name: getattr(binary32, name) for name in (*BINARY, "sqrt", "fma")} | {"add_scaled": oracle.add_scaled}


def each(name: str, words: Words, *operands: F32) -> list[int]:
    return [ORACLE[name](*elements) for elements in zip(*map(words, operands), strict=True)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(0, 150),
    offset=st.integers(0, 17),
    kind=st.sampled_from(KINDS),
    scalar=st.floats(width=32, allow_nan=False),
    seed=st.integers(0, 2**32),
)
def test_elementwise_equals_the_oracle(
    native: Library, numbers: Numbers, words: Words, n: int, offset: int, kind: str, scalar: float, seed: int
) -> None:
    x, y, z = (numbers(kind, seed + i, n + offset)[offset:] for i in range(3))
    for name in BINARY:
        assert words(getattr(elementwise, name)(x, y)) == each(name, words, x, y)
    assert words(elementwise.sqrt(x)) == each("sqrt", words, x)
    scalars = np.full(n, scalar, dtype=np.float32)
    assert words(elementwise.scale(x, scalar)) == each("mul", words, x, scalars)
    assert words(elementwise.add_scaled(x, y, scalar)) == each("add_scaled", words, x, y, scalars)
    assert words(elementwise.fma(x, y, out=z.copy())) == each("fma", words, x, y, z)
    expected = elementwise.mul(x, y).tobytes()
    assert elementwise.mul(x, y, out=x).tobytes() == expected


def hard_triples(generator: np.random.Generator, n: int) -> tuple[F32, F32, F32]:
    """Triples whose exact a * b + c lies next to, or on, a midpoint of two float32: where rounding twice goes wrong."""
    a = generator.integers(1 << 23, 1 << 24, n).astype(np.float64)
    b = generator.integers(1 << 23, 1 << 24, n).astype(np.float64)
    # c brings the sum to a midpoint, as nearly as a float32 can, and a last factor moves all of it about.
    product = a * b
    step = 2.0 ** (np.floor(np.log2(product)) - 23 + generator.integers(0, 3, n))
    c = (np.floor(product / step) + 0.5) * step - product
    power = 2.0 ** generator.integers(-75, 40, n).astype(np.float64)
    shift = 2.0 ** generator.integers(-75, 15, n).astype(np.float64)
    with np.errstate(over="ignore"):
        return (a * power).astype(np.float32), (b * shift).astype(np.float32), (c * power * shift).astype(np.float32)


def tiny_beside_a_midpoint(generator: np.random.Generator, n: int) -> tuple[F32, F32, F32]:
    """Exact midpoints as products of 13 and 12 bits, plus a c far below binary64's last bit of them."""
    a = generator.integers(1 << 12, 1 << 13, n) | 1
    b = generator.integers(1 << 12, 1 << 13, n) | 1
    c = generator.choice([-1.0, 1.0], n) * 2.0 ** generator.integers(-100, 2, n).astype(np.float64)
    return a.astype(np.float32), b.astype(np.float32), c.astype(np.float32)


def near_the_least(generator: np.random.Generator, n: int) -> tuple[F32, F32, F32]:
    """Products among and below the subnormals, with subnormal c."""
    a, b = ((generator.random(n) + 0.5) * 2.0 ** generator.integers(-80, -60, n) for _ in range(2))
    c = generator.integers(-40, 40, n) * 2.0**-149
    return a.astype(np.float32), b.astype(np.float32), c.astype(np.float32)


def near_the_greatest(generator: np.random.Generator, n: int) -> tuple[F32, F32, F32]:
    """Sums within a few last places of overflow."""
    a = (1.0 + generator.integers(0, 4, n) * 2.0**-23) * 2.0**64
    b = (2.0 - generator.integers(1, 5, n) * 2.0**-23) * 2.0**63
    c = generator.choice([-1.0, 1.0], n) * 2.0 ** generator.integers(70, 106, n).astype(np.float64)
    return a.astype(np.float32), b.astype(np.float32), c.astype(np.float32)


def any_bits(generator: np.random.Generator, n: int) -> tuple[F32, F32, F32]:
    a, b, c = (generator.integers(0, 2**32, n, dtype=np.uint32).view(np.float32) for _ in range(3))
    return a, b, c


@pytest.mark.parametrize("make", [hard_triples, tiny_beside_a_midpoint, near_the_least, near_the_greatest, any_bits])
def test_fma_rounds_once(native: Library, words: Words, make: Callable[..., tuple[F32, F32, F32]]) -> None:
    a, b, c = make(np.random.default_rng(4), 30_000)
    expected = each("fma", words, a, b, c)
    assert words(elementwise.fma(a, b, out=c.copy())) == expected


def test_the_hard_triples_are_hard(words: Words) -> None:
    """By way of binary64 without rounding to odd, these inputs go wrong: they can tell a right fma from a wrong one."""
    a, b, c = tiny_beside_a_midpoint(np.random.default_rng(4), 30_000)
    twice = (a.astype(np.float64) * b + c).astype(np.float32)
    wrong = sum(x != y for x, y in zip(words(twice), each("fma", words, a, b, c), strict=True))
    assert wrong > 1000


def test_the_oracle_agrees_with_rational_numbers() -> None:
    """The oracle's own rounding, against Fraction and a search for the nearest neighbour."""
    generator = np.random.default_rng(5)
    bits = generator.integers(0, 2**32, (3, 300), dtype=np.uint32)
    for a, b, c in bits.T.tolist():
        if any(word & 0x7F800000 == 0x7F800000 for word in (a, b, c)):
            continue
        result = binary32.fma(a, b, c)
        exact = value(a) * value(b) + value(c)
        limit = Fraction(2) ** 128 - Fraction(2) ** 103
        if abs(exact) >= limit:
            assert result & 0x7FFFFFFF == 0x7F800000
            continue
        distance = abs(value(result) - exact)
        for neighbour in (result - 1, result + 1):
            if neighbour & 0x7F800000 != 0x7F800000 and (neighbour ^ result) >> 31 == 0:
                other = abs(value(neighbour) - exact)
                assert distance < other or (distance == other and result % 2 == 0)


def value(word: int) -> Fraction:
    return Fraction(float(np.array([word], dtype=np.uint32).view(np.float32)[0]))
