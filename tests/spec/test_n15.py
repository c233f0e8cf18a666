"""N-15: powers, roots and norms."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from samebits.numerics import powers
from samebits.numerics.arrays import F32
from samebits.numerics.build import NATIVE
from samebits.numerics.library import Library
from samebits.numerics.oracle.powers import POW_EXP2, POW_LOG2

Parse = Callable[[Sequence[str]], F32]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "spec" / "numerics.md"
INF, NAN = float("inf"), float("nan")


def test_exact_powers(native: Library) -> None:
    x = np.array([3.0, 3.0, -3.0, 2.0, 2.0, 4.0, 0.0625, 1.5, 2.0], dtype=np.float32)
    y = np.array([2.0, 4.0, 3.0, -149.0, 127.0, 0.5, -0.25, 3.0, 128.0], dtype=np.float32)
    assert powers.pow(x, y).tolist() == [9.0, 81.0, -27.0, 2.0**-149, 2.0**127, 2.0, 2.0, 3.375, INF]


def test_rounded_powers(native: Library) -> None:
    """2^(1/3)... of float32's own 1/3, 10^(3/2), and 3^-1, from mpmath at 60 digits."""
    x = np.array([2.0, 10.0, 3.0], dtype=np.float32)
    y = np.array([1 / 3, 1.5, -1.0], dtype=np.float32)
    exact = ["1.2599210585673", "31.6227766016837933", "0.333333333333333333"]
    assert powers.pow(x, y).tolist() == [np.float32(text) for text in exact]


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        *((x, 0.0, 1.0) for x in (0.0, -0.0, 1.0, -5.0, INF, -INF)),
        *((1.0, y, 1.0) for y in (INF, -INF, 0.5, -7.0)),
        *((-1.0, y, 1.0) for y in (INF, -INF, 2.0, 1.0e30)),
        *((0.0, 3.0, 0.0), (-0.0, 3.0, -0.0), (-0.0, 2.5, 0.0), (-0.0, 2.0, 0.0)),
        *((0.0, -3.0, INF), (-0.0, -3.0, -INF), (-0.0, -2.5, INF)),
        *((-INF, 3.0, -INF), (-INF, 0.5, INF), (-INF, -3.0, -0.0), (INF, -0.5, 0.0)),
        *((0.5, INF, 0.0), (0.5, -INF, INF), (2.0, -INF, 0.0), (-2.0, INF, INF)),
        *((-8.0, 1 / 3, NAN), (-8.0, 0.5, NAN), (-2.0, 16777217.0, INF)),
    ],
)
def test_ends(native: Library, x: float, y: float, expected: float) -> None:
    bases = np.array([x], dtype=np.float32)
    y = float(np.float32(y))
    for actual in (powers.pow(bases, y), powers.pow(bases, np.array([y], dtype=np.float32))):
        assert float(actual[0]).hex() == expected.hex()


def test_a_square_is_rounded_once(native: Library, f32: Parse) -> None:
    """(1 + 2^-12)^2 is a midpoint of two float32: it goes to the even one; the next square is a little past one."""
    x = f32(["0x1.001p+0", "0x1.001002p+0"])
    expected = [0x3F801000, 0x3F801003]
    assert powers.pow(x, 2.0).view(np.uint32).tolist() == expected
    assert powers.pow(x, np.array([2.0, 2.0], dtype=np.float32)).view(np.uint32).tolist() == expected


def test_roots_round_twice(native: Library, f32: Parse) -> None:
    """1 / sqrt(3) is 0x3F13CD3A to the nearest; by way of the rounded root it is that or its neighbour."""
    x = f32(["0x1.8p+1", "0x1p-149", "-0x0p+0", "0x0p+0"])
    root = np.sqrt(x.astype(np.float64)).astype(np.float32)
    with np.errstate(divide="ignore"):
        expected = (1 / root.astype(np.float64)).astype(np.float32)
    assert powers.rsqrt(x).tobytes() == expected.tobytes()
    assert powers.reciprocal(f32(["0x1.8p+1", "-0x1p-127", "-0x0p+0"])).view(np.uint32).tolist() == [
        *(0x3EAAAAAB, 0xFF000000, 0xFF800000)
    ]


def test_norm(native: Library, f32: Parse) -> None:
    assert powers.vector_norm(f32(["0x1.8p+1", "0x1p+2"]).reshape(1, 2)).tolist() == [5.0]
    assert powers.vector_norm(np.empty((1, 0), dtype=np.float32)).view(np.uint32).tolist() == [0x80000000]
    # The squares vanish one by one, though their sum would not.
    assert powers.vector_norm(np.full((1, 4096), 2.0**-76, dtype=np.float32)).tolist() == [0.0]


def test_page_oracle_and_kernels_have_the_same_constants() -> None:
    page = re.split(r"\n## ", PAGE.read_text(encoding="utf-8").split("\n## N-15 ")[1])[0]
    native = (NATIVE / "powers.hpp").read_text(encoding="utf-8")
    for constant in (*POW_LOG2, *POW_EXP2):
        assert re.search(rf"(?<![\w.-]){re.escape(constant)}(?!\w)", page), constant
        assert re.search(rf"(?<![\w.-]){re.escape(constant)}(?!\w)", native), constant
    assert len({*POW_LOG2, *POW_EXP2}) == 15
