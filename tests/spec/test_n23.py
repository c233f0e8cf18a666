"""N-23: orders from keys that NumPy's Philox gives too; all of them are equally likely."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics import order
from samebits.numerics.library import Library
from samebits.numerics.order import epoch_order, permutation
from samebits.numerics.philox import philox4x32
from samebits.numerics.random import Purpose, Stream


def test_samples_are_sorted_by_their_keys(native: Library) -> None:
    counters = np.array([[block, 0, 3, 0x01040000] for block in range(51)], dtype=np.uint32)
    words = philox4x32(counters, (5, 1)).reshape(-1).tolist()
    keys = [words[2 * i] * 2**32 + words[2 * i + 1] for i in range(101)]
    assert epoch_order(101, 2**32 + 5, 3).tolist() == sorted(range(101), key=keys.__getitem__)


def test_of_equal_keys_the_lower_sample_comes_first(native: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.array([1, 5, 0, 9, 1, 5, 0, 9, 0, 8], dtype=np.uint32)
    monkeypatch.setattr(order.random, "words", lambda stream, n: words[:n])
    assert permutation(5, Stream(0, Purpose.ORDER)).tolist() == [4, 1, 3, 0, 2]


def test_every_order_is_as_likely() -> None:
    seen = Counter(tuple(epoch_order(3, 1, epoch).tolist()) for epoch in range(3000))
    assert len(seen) == 6
    # Chi squared with 5 degrees of freedom stays below 15.1 in 99 of 100 seeds; this seed is fixed.
    assert sum((count - 500) ** 2 / 500 for count in seen.values()) < 15.1


@pytest.mark.parametrize("n", [0, 1])
def test_short_orders(native: Library, n: int) -> None:
    assert epoch_order(n, 0, 0).tolist() == list(range(n))


def test_limits() -> None:
    for n in (-1, 2**31 + 1):
        with pytest.raises(NumericsError, match="an order must be of 0 to 2147483648 samples"):
            permutation(n, Stream(0, Purpose.ORDER))
