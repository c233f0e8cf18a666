from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samebits.verify.floats import FORMATS, bits_of, short_hex, show_element, ulp_distance


@pytest.mark.parametrize(
    ("dtype", "golden", "candidate", "distance"),
    [
        ("F32", 0x3F800000, 0x3F800001, 1),
        ("F32", 0x00000000, 0x80000000, 0),  # both zeros are one point
        ("F32", 0x00000001, 0x80000001, 2),  # the smallest values on either side of it
        ("F32", 0x7F7FFFFF, 0x7F800000, 1),  # the largest number and infinity
        ("F32", 0x7F800000, 0xFF800000, 2 * 0x7F800000),
        ("F16", 0x3C00, 0xBC00, 2 * 0x3C00),
        ("BF16", 0x3F80, 0x3F7F, 1),
        ("F64", 0x7FF0000000000000, 0xFFF0000000000000, 2 * 0x7FF0000000000000),
        ("F32", 0x7FC00000, 0x3F800000, None),
        ("F16", 0x3C00, 0x7C01, None),
        ("I32", 1, 2, None),
    ],
)
def test_ulp_distance(dtype: str, golden: int, candidate: int, distance: int | None) -> None:
    assert ulp_distance(dtype, golden, candidate) == distance
    assert ulp_distance(dtype, candidate, golden) == distance


@given(st.floats(max_value=1e300, allow_nan=False, allow_infinity=False), st.integers(0, 5))
def test_ulp_distance_counts_the_steps_of_nextafter(number: float, n_steps: int) -> None:
    other = number
    for _ in range(n_steps):
        other = math.nextafter(other, math.inf)
    assert ulp_distance("F64", bits_of(number), bits_of(other)) == n_steps


@pytest.mark.parametrize(
    ("dtype", "bits", "text"),
    [
        ("F32", 0x3F800000, "0x1p+0"),
        ("F32", 0xBFC00000, "-0x1.8p+0"),
        ("F32", 0x80000000, "-0x0p+0"),
        ("F32", 0x7FC00001, "nan (0x7fc00001)"),
        ("F32", 0xFF800000, "-inf"),
        ("BF16", 0x4049, "0x1.92p+1"),
        ("F16", 0x3C01, "0x1.004p+0"),
        ("F64", 0x3FF0000000000001, "0x1.0000000000001p+0"),
        ("I8", 0xFF, "-1"),
        ("U8", 0xFF, "255"),
        ("I64", 0x8000000000000000, str(-(2**63))),
        ("BOOL", 1, "true"),
        ("BOOL", 2, "0x02, not a truth value"),
    ],
)
def test_show_element(dtype: str, bits: int, text: str) -> None:
    assert show_element(dtype, bits) == text


@given(st.floats(allow_nan=False, width=32))
def test_short_hex_reads_back(number: float) -> None:
    assert struct.pack("<d", float.fromhex(short_hex(number))) == struct.pack("<d", number)


def test_infinity_bits_are_those_of_struct() -> None:
    for dtype, code in (("F16", "<e"), ("F32", "<f"), ("F64", "<d")):
        assert FORMATS[dtype].infinity_bits == int.from_bytes(struct.pack(code, math.inf), "little")
    assert FORMATS["BF16"].infinity_bits == FORMATS["F32"].infinity_bits >> 16
