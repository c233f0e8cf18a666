"""The four float formats as whole numbers: what an element's bits show as, and how far two lie apart.

The ULP distance is counted on the integer line: the representable values of a format in order, one step apart. Both
zeros lie on one point, so +0 and -0 are 0 ULP apart (and told as `sign of zero`); infinity is one step beyond the
largest number; NaN lies nowhere, so a distance to it does not exist.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple


class FloatFormat(NamedTuple):
    """Width in bits, and the bits of positive infinity: every larger magnitude is a NaN."""

    width: int
    infinity_bits: int


FORMATS = {
    "F16": FloatFormat(16, 0x7C00),
    "BF16": FloatFormat(16, 0x7F80),
    "F32": FloatFormat(32, 0x7F800000),
    "F64": FloatFormat(64, 0x7FF0000000000000),
}
# How struct reads the bits: the float's code, the code of the bits, and the shift that makes bfloat16 a float32.
_CODES = {"F16": ("<e", "<H", 0), "BF16": ("<f", "<I", 16), "F32": ("<f", "<I", 0), "F64": ("<d", "<Q", 0)}
_TRAILING_ZEROS = re.compile(r"\.?0+(?=p)")


def ulp_distance(dtype: str, golden_bits: int, candidate_bits: int) -> int | None:
    """Return the distance of two values on the integer line; None beside a NaN, or where `dtype` is no float."""
    if dtype not in FORMATS:
        return None
    width, infinity_bits = FORMATS[dtype]
    places = []
    for bits in (golden_bits, candidate_bits):
        size = bits & ((1 << (width - 1)) - 1)
        if size > infinity_bits:
            return None
        places.append(-size if bits >> (width - 1) else size)
    return abs(places[0] - places[1])


def bits_of(number: float) -> int:
    """Return the bits of a binary64."""
    (bits,) = struct.unpack("<Q", struct.pack("<d", number))
    return int(bits)


def show_element(dtype: str, bits: int) -> str:
    """Return an element as hex float (a NaN with its bits), as whole number, or as true or false."""
    if dtype in FORMATS:
        code, bits_code, shift = _CODES[dtype]
        (number,) = struct.unpack(code, struct.pack(bits_code, bits << shift))
        return f"nan ({bits:#x})" if number != number else short_hex(number)
    if dtype == "BOOL":
        return {0: "false", 1: "true"}.get(bits, f"{bits:#04x}, not a truth value")
    width = int(dtype[1:])
    return str(bits - (1 << width) if dtype[0] == "I" and bits >> (width - 1) else bits)


def short_hex(number: float) -> str:
    """Return a float as hex float without the zeros that say nothing: `0x1.8p+1`."""
    return _TRAILING_ZEROS.sub("", number.hex())
