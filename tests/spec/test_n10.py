"""N-10: Random123's known answers through the kernel, the layout of a stream, and its limits."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics import philox, random
from samebits.numerics.library import Library
from samebits.numerics.oracle import random as oracle
from samebits.numerics.philox import philox4x32
from samebits.numerics.random import Purpose, Stream

# Random123, tests/kat_vectors, the lines `philox4x32 10`: counter, key, expected.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
ROOT = Path(__file__).parents[2]
STREAM = Stream(0x0123456789ABCDEF, Purpose.DROPOUT, step=0x123456, sample=0x89ABCDEF, tensor=0xFEDC)


def words_of(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_the_kernel_gives_random123s_answers(native: Library, counter: str, key: str, expected: str) -> None:
    c0, c1, c2, c3 = words_of(counter)
    fields = np.array([*words_of(key), c1, c2 & 0xFFFFFF, c3], dtype=np.uint32)
    # The block's bits 32 to 39 stand in the upper bits of counter word 2.
    first = 4 * ((c2 >> 24) << 32 | c0)
    out = np.empty(4, dtype=np.uint32)
    native.call("sb_random_words", 4, fields.ctypes.data, first, out.ctypes.data, 1)
    assert out.tolist() == words_of(expected)
    key0, key1 = words_of(key)
    assert list(oracle.philox((c0, c1, c2, c3), (key0, key1))) == words_of(expected)


def test_the_layout(native: Library) -> None:
    for first in (0, 4 * 0x01_00000000 - 8, 4 * 0xAB_CDEF0123):
        block = first // 4
        rows = [[(block + i) % 2**32, 0x89ABCDEF, ((block + i) >> 32) << 24 | 0x123456, 0x0101FEDC] for i in range(6)]
        expected = philox4x32(np.array(rows, dtype=np.uint32), (0x89ABCDEF, 0x01234567))
        assert random.words(STREAM, 24, first=first).tolist() == expected.reshape(-1).tolist()
        for skipped in range(1, 9):
            shifted = random.words(STREAM, 15, first=first + skipped)
            assert shifted.tolist() == expected.reshape(-1).tolist()[skipped : skipped + 15]


def test_purposes_are_those_of_the_page() -> None:
    assert [purpose.value for purpose in Purpose] == [1, 2, 3, 4, 5]
    assert random.VERSION == 1


def test_page_oracle_and_kernel_have_the_same_constants() -> None:
    page = (ROOT / "docs/spec/numerics.md").read_text(encoding="utf-8")
    header = (ROOT / "src/samebits/numerics/native/philox.hpp").read_text(encoding="utf-8")
    source = inspect.getsource(oracle.philox)
    for constant in (*philox.MULTIPLIERS, *philox.WEYL):
        assert all(text.count(f"0x{constant:08X}") == 1 for text in (page, header, source))


@pytest.mark.parametrize(("field", "limit"), [("seed", 64), ("step", 24), ("sample", 32), ("tensor", 16)], ids=str)
def test_fields_at_their_limit_are_refused(native: Library, field: str, limit: int) -> None:
    last = replace(STREAM, **{field: 2**limit - 1})
    assert random.words(last, 4).tolist() != random.words(replace(STREAM, **{field: 2**limit - 2}), 4).tolist()
    for outside in (2**limit, -1):
        with pytest.raises(NumericsError, match=rf"`{field}` of a random stream must be from 0 to 2\^{limit} - 1"):
            replace(STREAM, **{field: outside})


def test_elements_end_at_their_limit(native: Library) -> None:
    assert random.words(STREAM, 3, first=2**42 - 3).size == 3
    for first in (2**42 - 2, -1):
        with pytest.raises(NumericsError, match=r"elements of a random stream must be from 0 to 2\^42 - 1"):
            random.words(STREAM, 3, first=first)
