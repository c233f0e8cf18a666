"""N-14: known answers of the conversions; each follows from the formats by hand."""

from __future__ import annotations

import numpy as np
import pytest

from samebits.numerics import conversions
from samebits.numerics.library import Library


def f32(bits: int) -> np.ndarray:
    return np.array([bits], dtype=np.uint32).view(np.float32)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (0x3F800000, 0x3F80),  # 1
        (0x3F808000, 0x3F80),  # a tie goes to the even one, down
        (0x3F818000, 0x3F82),  # and up
        (0x3F808001, 0x3F81),  # just above a tie
        (0xBF807FFF, 0xBF80),  # just below one
        (0x3FFFFFFF, 0x4000),  # a carry into the exponent
        (0x00000001, 0x0000),  # subnormals round as the others do,
        (0x00008001, 0x0001),
        (0x80018000, 0x8002),
        (0x007FFFFF, 0x0080),  # into the least normal one
        (0x80000000, 0x8000),
        (0x7F7F7FFF, 0x7F7F),  # the greatest that stays finite
        (0x7F7F8000, 0x7F80),
        (0xFF800000, 0xFF80),
        (0x7F800001, 0x7FC0),  # a NaN whose upper half alone would be an infinity
        (0xFFA12345, 0xFFE1),  # sign and upper payload stay
    ],
)
def test_float32_to_bfloat16(native: Library, x: int, expected: int) -> None:
    assert conversions.convert_f32_bf16(f32(x)).tolist() == [expected]


@pytest.mark.parametrize("x", [0x0000, 0x8000, 0x0001, 0x807F, 0x3F80, 0x7F7F, 0xFF80, 0x7F81])
def test_bfloat16_to_float32_is_the_upper_half(native: Library, x: int) -> None:
    widened = conversions.convert_bf16_f32(np.array([x], dtype=np.uint16))
    assert widened.view(np.uint32).tolist() == [x << 16]


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (0x3C00, 0x3F800000),
        (0x0001, 0x33800000),  # 2^-24
        (0x83FF, 0xB87FC000),  # the greatest subnormal
        (0x0400, 0x38800000),
        (0x7BFF, 0x477FE000),  # 65,504
        (0x8000, 0x80000000),
        (0xFC00, 0xFF800000),
        (0x7C01, 0x7FC02000),
        (0xFE00, 0xFFC00000),
    ],
)
def test_binary16_to_float32(native: Library, x: int, expected: int) -> None:
    widened = conversions.convert_f16_f32(np.array([x], dtype=np.uint16).view(np.float16))
    assert widened.view(np.uint32).tolist() == [expected]


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (0x3F800000, 0x3C00),
        (0x3F801000, 0x3C00),  # ties to even
        (0x3F803000, 0x3C02),
        (0x33000000, 0x0000),  # 2^-25, a tie of zero and the least
        (0x33000001, 0x0001),
        (0xB3C00000, 0x8002),  # 1.5 * 2^-24
        (0x387FDFFF, 0x03FF),
        (0x387FE000, 0x0400),  # into the least normal one
        (0x00000001, 0x0000),
        (0x477FEFFF, 0x7BFF),
        (0x477FF000, 0x7C00),  # 65,520
        (0x7F7FFFFF, 0x7C00),
        (0xFF800000, 0xFC00),
        (0x7F800001, 0x7E00),
        (0xFFA12345, 0xFF09),
    ],
)
def test_float32_to_binary16(native: Library, x: int, expected: int) -> None:
    assert conversions.convert_f32_f16(f32(x)).view(np.uint16).tolist() == [expected]


def test_every_binary16_is_what_numpy_says(native: Library) -> None:
    """An independent implementation; NaN aside."""
    x = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    x = x[~np.isnan(x)]
    widened = conversions.convert_f16_f32(x)
    assert widened.tobytes() == x.astype(np.float32).tobytes()
    assert conversions.convert_f32_f16(widened).tobytes() == x.tobytes()
