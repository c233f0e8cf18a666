"""N-21: thresholds and factors by hand, edge cases, and what a mask does not depend on."""

from __future__ import annotations

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics import random
from samebits.numerics.dropout import dropout, threshold_and_scale
from samebits.numerics.library import Library
from samebits.numerics.random import Purpose, Stream

STREAM = Stream(42, Purpose.DROPOUT, step=1, sample=2, tensor=3)


@pytest.mark.parametrize(
    ("p", "threshold", "scale"),
    [
        (0.5, 2**31, "0x1p+1"),
        # 429,496,729.6 is cut; 10/9 = 1.1c71c71c...
        (0.1, 429496729, "0x1.1c71c8p+0"),
        # 214,748,364.8; 20/19 = 1.0d79435e50d...
        (0.05, 214748364, "0x1.0d7944p+0"),
        # Next to 5/2^32 = 1.16415321826934814...e-9.
        (1.16415321826935e-09, 5, "0x1p+0"),
        (1.1641532182693e-09, 4, "0x1p+0"),
        # The binary64 number is 3,639,700,191/2^32 itself, its shortest decimal form is less: that one counts.
        (0.8474337381776422, 3639700190, "0x1.a37d68p+2"),
        (1e-12, 0, "0x1p+0"),
        (0.999999999999, 4294967295, "0x1.d1a94ap+39"),
    ],
)
def test_threshold_and_scale(p: float, threshold: int, scale: str) -> None:
    assert threshold_and_scale(p) == (threshold, float.fromhex(scale))


def test_an_element_is_kept_from_the_threshold_on(native: Library) -> None:
    x = np.full((3, 100), 3.0, dtype=np.float32)
    drawn = random.words(STREAM, 300).reshape(3, 100)
    expected = np.where(drawn >= 429496729, np.float32(3.0) * np.float32(float.fromhex("0x1.1c71c8p+0")), np.float32(0))
    assert dropout(x, 0.1, STREAM).tobytes() == expected.astype(np.float32).tobytes()
    assert 10 < (drawn < 429496729).sum() < 60


def test_what_is_dropped_is_plus_zero(native: Library) -> None:
    x = np.full((1, 64), -0.0, dtype=np.float32)
    dropped = dropout(x, 1.0, STREAM)
    assert dropped.tobytes() == bytes(256)
    some = dropout(x, 0.5, STREAM).view(np.uint32)
    assert set(some.reshape(-1).tolist()) == {0, 0x80000000}
    # An infinity that is dropped does not become a NaN.
    assert dropout(np.full_like(x, np.inf), 0.5, STREAM).view(np.uint32).min() == 0


def test_no_dropout_copies(native: Library) -> None:
    x = np.array([[1.5, -0.0, 1e-45]], dtype=np.float32)
    assert dropout(x, 0.0, STREAM).tobytes() == x.tobytes()
    assert dropout(x, 0.0, STREAM, out=x) is x


def test_a_row_is_dropped_alike_wherever_it_is_computed(native: Library) -> None:
    x = np.ones((9, 50), dtype=np.float32)
    whole = dropout(x, 0.3, STREAM)
    for row in range(9):
        assert dropout(x[row : row + 1], 0.3, STREAM, first=50 * row).tobytes() == whole[row].tobytes()
    assert dropout(x, 0.3, Stream(42, Purpose.DROPOUT, step=1, sample=3, tensor=3)).tobytes() != whole.tobytes()


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_no_probability_is_refused(p: float) -> None:
    with pytest.raises(NumericsError, match="the probability of dropout must be from 0 to 1"):
        threshold_and_scale(p)
