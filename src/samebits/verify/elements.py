"""Two tensors of one dtype and shape, element by element, on their bit patterns.

Everything is integer arithmetic on the bits, so that NaN and the sign of zero cannot slip through a float comparison,
and so that F16, BF16, F32 and F64 are one case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from samebits.verify.floats import FORMATS

# Two blocks and what is computed from them stay within a core's cache.
BLOCK_ELEMENTS = 1 << 16
RELEASE_ELEMENTS = 1 << 22
_UNSIGNED = {1: "u1", 2: "<u2", 4: "<u4", 8: "<u8"}

Bits = np.ndarray[Any, Any]


@dataclass
class ElementDifference:
    """How two equally shaped tensors differ.

    Args:
        n_elements: of each tensor.
        n_different: elements whose bits differ.
        first_index: flat, C order.
        golden_bits: of the first differing element.
        candidate_bits: of the same element.
        largest_ulp: over all differing elements but those with a NaN on either side; None for whole numbers.
        n_new_nan: elements that are NaN in the candidate only.
        n_lost_nan: elements that are NaN in the golden only.
        n_sign_of_zero: elements that differ in the sign of a zero only.
        n_new_zero: elements that are zero in the candidate only.
    """

    n_elements: int
    n_different: int = 0
    first_index: int = 0
    golden_bits: int = 0
    candidate_bits: int = 0
    largest_ulp: int | None = None
    n_new_nan: int = 0
    n_lost_nan: int = 0
    n_sign_of_zero: int = 0
    n_new_zero: int = 0


def compare_elements(
    dtype: str, size_bytes: int, golden: memoryview, candidate: memoryview, release: Callable[[], None] = lambda: None
) -> ElementDifference | None:
    """Compare the bits of two tensors in blocks; None where all are equal.

    Args:
        dtype: safetensors name.
        size_bytes: of one element: 1, 2, 4 or 8.
        golden: little-endian bytes, mapped or in memory; at most a few MiB are copied at a time.
        candidate: of the same length.
        release: called now and then, when what was read so far is no longer needed.
    """
    ours, theirs = (np.frombuffer(data, dtype=_UNSIGNED[size_bytes]) for data in (golden, candidate))
    found = ElementDifference(n_elements=len(ours))
    for start in range(0, len(ours), BLOCK_ELEMENTS):
        if start % RELEASE_ELEMENTS == 0:
            release()
        a, b = ours[start : start + BLOCK_ELEMENTS], theirs[start : start + BLOCK_ELEMENTS]
        differing = np.flatnonzero(a != b)
        if not len(differing):
            continue
        if not found.n_different:
            first = int(differing[0])
            found.first_index, found.golden_bits, found.candidate_bits = start + first, int(a[first]), int(b[first])
        found.n_different += len(differing)
        if dtype in FORMATS:
            _count_floats(found, dtype, a[differing], b[differing])
    return found if found.n_different else None


def _count_floats(found: ElementDifference, dtype: str, a: Bits, b: Bits) -> None:
    """Add the differing elements of one block, in the arithmetic of their own width: half the time of 64 bits."""
    word = a.dtype.type
    half, infinity = word(1 << (FORMATS[dtype].width - 1)), word(FORMATS[dtype].infinity_bits)
    a_size, b_size = a & (half - word(1)), b & (half - word(1))
    a_nan, b_nan = a_size > infinity, b_size > infinity
    comparable = ~(a_nan | b_nan)
    found.n_new_nan += int(np.count_nonzero(b_nan & ~a_nan))
    found.n_lost_nan += int(np.count_nonzero(a_nan & ~b_nan))
    b_zero = b_size == 0
    if b_zero.any():
        n_both = int(np.count_nonzero(b_zero & (a_size == 0)))
        found.n_sign_of_zero += n_both
        found.n_new_zero += int(np.count_nonzero(b_zero)) - n_both
    if comparable.any():
        a_place, b_place = _places(a, half), _places(b, half)
        distance = np.maximum(a_place, b_place) - np.minimum(a_place, b_place)
        found.largest_ulp = max(found.largest_ulp or 0, int(distance.max(where=comparable, initial=0)))


def _places(bits: Bits, half: np.unsignedinteger[Any]) -> Bits:
    """Return places on the integer line, moved up by `half` so that they stay unsigned: F64 needs all 64 bits.

    A negative value's bits are half + size, its place half - size: their sum is 0 modulo twice `half`, so the place is
    the complement plus one. Masks, not `np.where`: signs are a coin toss, and branching on them is slow.
    """
    sign = bits >> half.dtype.type(8 * half.dtype.itemsize - 1)
    places: Bits = (bits ^ (np.negative(sign) | half)) + sign
    return places
