from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samebits.verify import elements
from samebits.verify.elements import ElementDifference, compare_elements
from samebits.verify.floats import FORMATS, ulp_distance

WIDTHS = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "U8": 1, "I16": 2, "I32": 4, "U64": 8, "BOOL": 1}


def pack(values: list[int], size_bytes: int) -> memoryview:
    return memoryview(b"".join(value.to_bytes(size_bytes, "little") for value in values))


def recount(dtype: str, golden: list[int], candidate: list[int]) -> ElementDifference | None:
    """Count again, slowly, one element at a time in Python's integers."""
    found = ElementDifference(len(golden))
    for index, (a, b) in enumerate(zip(golden, candidate, strict=True)):
        if a == b:
            continue
        if not found.n_different:
            found.first_index, found.golden_bits, found.candidate_bits = index, a, b
        found.n_different += 1
        if dtype not in FORMATS:
            continue
        width, infinity = FORMATS[dtype]
        a_size, b_size = a % (1 << (width - 1)), b % (1 << (width - 1))
        found.n_new_nan += a_size <= infinity < b_size
        found.n_lost_nan += b_size <= infinity < a_size
        found.n_sign_of_zero += a_size == b_size == 0
        found.n_new_zero += b_size == 0 != a_size
        distance = ulp_distance(dtype, a, b)
        if distance is not None:
            found.largest_ulp = max(found.largest_ulp or 0, distance)
    return found if found.n_different else None


def interesting_bits(dtype: str) -> st.SearchStrategy[int]:
    width = 8 * WIDTHS[dtype]
    any_bits = st.integers(0, (1 << width) - 1)
    if dtype not in FORMATS:
        return any_bits
    half, infinity = 1 << (width - 1), FORMATS[dtype].infinity_bits
    edges = [0, half, 1, half + 1, infinity, half + infinity, infinity + 1, infinity - 1, half - 1, 2 * half - 1]
    return st.one_of(any_bits, st.sampled_from(edges))


@pytest.mark.parametrize("block_elements", [1, 3, 1 << 16])
@pytest.mark.parametrize("dtype", list(WIDTHS))
def test_report_equals_a_slow_independent_recount(dtype: str, block_elements: int) -> None:
    bits = interesting_bits(dtype)

    @given(st.lists(st.tuples(bits, bits, st.booleans()), max_size=20))
    def check(rows: list[tuple[int, int, bool]]) -> None:
        golden = [a for a, _, _ in rows]
        candidate = [a if keep else b for a, b, keep in rows]
        found = compare_elements(dtype, WIDTHS[dtype], pack(golden, WIDTHS[dtype]), pack(candidate, WIDTHS[dtype]))
        assert found == recount(dtype, golden, candidate)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elements, "BLOCK_ELEMENTS", block_elements)
        check()


def test_one_changed_element_far_into_a_tensor_of_several_blocks() -> None:
    golden = np.random.default_rng(1).standard_normal(3 * elements.BLOCK_ELEMENTS, dtype=np.float32)
    candidate = golden.copy()
    index = random.Random(2).randrange(len(golden))
    candidate[index] = np.nextafter(candidate[index], np.float32(np.inf))
    found = compare(golden, candidate)
    assert found is not None
    assert (found.first_index, found.n_different, found.largest_ulp) == (index, 1, 1)


def test_nan_in_both_with_equal_bits_is_the_same() -> None:
    nan = np.full(5, np.nan, np.float32)
    assert compare(nan, nan.copy()) is None


def compare(golden: np.ndarray[Any, Any], candidate: np.ndarray[Any, Any]) -> ElementDifference | None:
    return compare_elements("F32", 4, golden.view(np.uint8).data, candidate.view(np.uint8).data)
