"""N-16: known answers of attention, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from samebits.numerics.arrays import F32
from samebits.numerics.attention import Sight, attention, attention_backward
from samebits.numerics.library import Library
from samebits.numerics.random import Purpose, Stream

LARGE = 2.0**24


def column(*numbers: float) -> F32:
    """One head of width 1."""
    return np.array(numbers, dtype=np.float32).reshape(-1, 1, 1)


def bits(array: F32) -> list[int]:
    return array.view(np.uint32).ravel().tolist()


def both(q: F32, k: F32, v: F32, dout: F32, sight: Sight) -> list[F32]:
    statistics = np.empty((2, q.shape[1], len(q)), dtype=np.float32)
    out = attention(q, k, v, sight, statistics=statistics)
    return [out, statistics, *attention_backward(dout, q, k, v, out, statistics, sight)]


def test_equal_scores_share_alike(native: Library) -> None:
    """Queries of zero: every weight is 1 before the division by the number of keys seen."""
    out = attention(column(0, 0, 0, 0), column(1, 2, 3, 4), column(1, 2, 4, 8), Sight(1.0))
    assert out.ravel().tolist() == [1, 1.5, np.float32(7) / np.float32(3), 3.75]
    out = attention(column(0, 0, 0, 0), column(1, 2, 3, 4), column(1, 2, 4, 8), Sight(1.0, window=2))
    assert out.ravel().tolist() == [1, 1.5, 3, 6]
    out = attention(column(0, 0), column(1, 2, 3, 4), column(1, 2, 4, 8), Sight(1.0, causal=False))
    assert out.ravel().tolist() == [3.75, 3.75]


def test_values_are_added_up_before_the_division(native: Library) -> None:
    """1/3 + 1/3 + 1/3 in weights would round; 3/3 does not. 2^24 + 1 - 2^24 in order loses the one."""
    seen = Sight(1.0, causal=False)
    assert attention(column(0), column(0, 0, 0), column(1, 1, 1), seen).item() == 1
    assert attention(column(0), column(0, 0, 0), column(LARGE, 1, -LARGE), seen).item() == 0
    assert attention(column(0), column(0, 0, 0), column(LARGE, -LARGE, 1), seen).item() == np.float32(1) / np.float32(3)


def test_the_scale_comes_once_after_the_chain_of_a_score(native: Library) -> None:
    """0.1 * (1 + 2^-23) * 3 differs by when it is rounded; the maximum shows the score's bits."""
    scale, q, k = np.float32(0.1), np.float32(1 + 2.0**-23), np.float32(3)
    statistics = np.empty((2, 1, 1), dtype=np.float32)
    attention(column(float(q)), column(float(k)), column(1), Sight(float(scale)), statistics=statistics)
    assert statistics[0].item() == q * k * scale
    assert statistics[1].item() == 1


def test_a_masked_value_is_skipped_not_added_as_zero(native: Library) -> None:
    """The first query's product vanishes to -0; a zero times the second value would turn it into +0."""
    values = column(-(2.0**-149), 1.0)
    q, k = column(0, -200.0), column(1, 0)
    out = attention(q, k, values, Sight(1.0))
    assert bits(out)[0] == 0x80000001
    # Query 2 sees key 0 by e^-10 and key 1 by 1: -0 + -0. Key 2 stands in the same tile.
    q, k, values = column(0, 10, 0), column(-1, 0, 0), column(-(2.0**-149), -0.0, 1.0)
    assert bits(attention(q, k, values, Sight(1.0)))[1] == 0x80000000


def test_backward_by_hand(native: Library) -> None:
    """Two equal weights: o = 2, z = 2; n = 1/2, t = 1, x = (1/2, 3/2), ds = (-1/2, 1/2)."""
    out, statistics, dq, dk, dv = both(column(0), column(3, 5), column(1, 3), column(1), Sight(0.5, causal=False))
    assert out.item() == 2
    assert statistics.ravel().tolist() == [0, 2]
    assert dq.item() == 0.5 * (-0.5 * 3 + 0.5 * 5)
    assert dk.ravel().tolist() == [0, 0]
    assert dv.ravel().tolist() == [0.5, 0.5]


def test_heads_of_a_group_are_added_in_order(native: Library) -> None:
    """Each head's chain stands alone; then 2^24 + 1 + 1 loses both ones, and 1 + 1 + 2^24 loses none."""
    k, v, q = column(0), column(0), np.zeros((1, 3, 1), dtype=np.float32)
    for order, expected in (((LARGE, 1, 1), LARGE), ((1, 1, LARGE), LARGE + 2)):
        dout = np.array(order, dtype=np.float32).reshape(1, 3, 1)
        assert both(q, k, v, dout, Sight(1.0))[4].item() == expected


def test_a_key_that_no_query_sees_has_gradients_of_zero(native: Library) -> None:
    results = both(column(1), column(1, 2, 3), column(1, 2, 3), column(1), Sight(1.0, window=1, first=1))
    for gradient in results[3:]:
        assert bits(gradient)[0] == 0
        assert bits(gradient)[2] == 0


@pytest.mark.parametrize("head", [0, 1])
def test_dropped_weights_follow_the_words_of_their_element(native: Library, head: int) -> None:
    """Values that are powers of two tell which weights were kept; N-21's words say the same."""
    from samebits.numerics.random import words

    stream = Stream(seed=5, purpose=Purpose.ATTENTION_DROPOUT, step=2, sample=3, tensor=4)
    n, first = 6, 10
    sight = Sight(1.0, first=first, dropout=0.5, stream=stream)
    q, k = np.zeros((n, 2, 1), dtype=np.float32), np.zeros((n + first, 1, 1), dtype=np.float32)
    out = attention(q, k, (2.0 ** np.arange(n + first)).astype(np.float32).reshape(-1, 1, 1), sight)
    for row in range(n):
        seen = first + row + 1
        drawn = words(stream, seen, first=(head * 2**16 + first + row) * 2**16)
        kept = sum(2**j for j in range(seen) if drawn[j] >= 2**31)
        assert out[row, head].item() == np.float32(kept) / np.float32(seen) * 2
    alone = attention(q[3:4], k, np.ones_like(k), replace(sight, first=first + 3))
    assert alone.tobytes() == attention(q, k, np.ones_like(k), sight)[3:4].tobytes()
