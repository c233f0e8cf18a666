"""N-19: known answers by hand, and the formulas put together from the operations of other clauses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from samebits.numerics import elementwise, functions, losses, reductions, softmax
from samebits.numerics.arrays import F32
from samebits.numerics.library import Library

THIRD, SEVENTH = 0x3EAAAAAB, 0x3E124925
MINUS_ZERO = 0x80000000
N = 3 * 64 + 11


def f32(*rows: Sequence[float]) -> F32:
    return np.array(rows, dtype=np.float32)


def bits(array: F32) -> list[int]:
    return array.view(np.uint32).tolist()


@pytest.fixture
def logits() -> F32:
    return (4 * np.random.default_rng(19).standard_normal((5, N))).astype(np.float32)


def widened(column: F32) -> F32:
    return np.repeat(column[:, None], N, axis=1)


def parts(x: F32) -> tuple[F32, F32, F32]:
    """Return x - m, e and s, both last dimensions n."""
    less = elementwise.sub(x, widened(reductions.amax(x)))
    exponentials = functions.exp(less)
    return less, exponentials, widened(reductions.sum(exponentials))


def test_equal_elements(native: Library) -> None:
    assert bits(softmax.softmax(f32([7, 7, 7]))) == [[THIRD] * 3]
    assert softmax.softmax(f32([-(2.0**127)])).tolist() == [[1]]
    assert bits(softmax.log_softmax(f32([3.5]))) == [[0]]
    # log(2) = 0x3f317218 is nearest; no loss without a choice.
    assert bits(losses.cross_entropy(f32([5, 5]), np.array([1]))) == [0x3F317218]
    assert bits(losses.cross_entropy(f32([5]), np.array([0]))) == [0]


def test_softmax_multiplies_by_the_reciprocal(native: Library, logits: F32) -> None:
    _, exponentials, sums = parts(logits)
    expected = elementwise.mul(exponentials, elementwise.div(np.ones_like(sums), sums))
    assert bits(softmax.softmax(logits)) == bits(expected)
    assert bits(elementwise.div(exponentials, sums)) != bits(expected)


def test_log_softmax_takes_the_maximum_off_first(native: Library, logits: F32) -> None:
    less, _, sums = parts(logits)
    expected = elementwise.sub(less, functions.log(sums))
    assert bits(softmax.log_softmax(logits)) == bits(expected)
    targets = np.array([0, 5, 64, N - 1, 100])
    assert bits(losses.cross_entropy(logits, targets)) == bits(-expected[np.arange(5), targets])


def test_gradients_of_softmax(native: Library, logits: F32) -> None:
    y, dy = softmax.softmax(logits), logits[::-1].copy()
    along = widened(reductions.dot(dy, y))
    assert bits(softmax.softmax_backward(dy, y)) == bits(elementwise.mul(y, elementwise.sub(dy, along)))
    logs = softmax.log_softmax(logits)
    total = widened(reductions.sum(dy))
    expected = elementwise.fma(-functions.exp(logs), total, out=dy.copy())
    assert bits(softmax.log_softmax_backward(dy, logs)) == bits(expected)


def test_gradients_by_hand(native: Library) -> None:
    # dot = 1/2 * 3 + 1/2 * 1 = 2: (1/2) (3 - 2), (1/2) (1 - 2).
    assert softmax.softmax_backward(f32([3, 1]), f32([0.5, 0.5])).tolist() == [[0.5, -0.5]]
    # exp(0) = 1: 3 - 1 * 4, 1 - 1 * 4.
    assert softmax.log_softmax_backward(f32([3, 1]), f32([0, 0])).tolist() == [[-1, -3]]


def test_the_gradient_of_the_loss_is_scaled_and_not_divided(native: Library, logits: F32) -> None:
    targets, p = np.array([0, 5, 64, N - 1, 100]), softmax.softmax(logits)
    p[np.arange(5), targets] -= np.float32(1)
    for scale in (1.0, float.fromhex("0x1.99999ap-4")):
        loss, gradient = losses.cross_entropy_backward(logits, targets, scale=scale)
        assert bits(gradient) == bits(elementwise.scale(p, scale))
        assert bits(loss) == bits(losses.cross_entropy(logits, targets))
    # Two rows, each its own gradient: 1/4 - 1 and 1/4.
    gradient = losses.cross_entropy_backward(f32([1] * 4, [2] * 4), np.array([0, 3]))[1]
    assert gradient.tolist() == [[-0.75, 0.25, 0.25, 0.25], [0.25, 0.25, 0.25, -0.75]]


def test_rows_without_a_target_are_not_looked_at(native: Library) -> None:
    x = f32([np.nan, np.inf], [1, 1], [-np.inf, -np.inf])
    loss, gradient = losses.cross_entropy_backward(x, np.array([-100, 0, -100]), scale=-1.0, out=x)
    assert bits(gradient) == [[0, 0], [0x3F000000, 0xBF000000], [0, 0]]
    assert bits(loss) == [0, 0x3F317218, 0]


def test_an_element_of_minus_infinity_is_as_none(native: Library, logits: F32) -> None:
    end = 2 * 64 + 7
    masked = logits.copy()
    masked[:, end:] = -np.inf
    whole, part = softmax.softmax(masked), softmax.softmax(logits[:, :end])
    assert bits(whole[:, :end]) == bits(part)
    assert not whole[:, end:].view(np.uint32).any()
    # In the middle, where taking an element out would move the others: -0 is what adds nothing at its place.
    masked = logits.copy()
    masked[:, 7::64] = -np.inf
    _, exponentials, _ = parts(masked)
    skipped = exponentials.copy()
    skipped[:, 7::64] = -0.0
    inverse = elementwise.div(np.ones_like(masked), widened(reductions.sum(skipped)))
    assert bits(softmax.softmax(masked)) == bits(elementwise.mul(exponentials, inverse))


def test_losses_are_summed_by_their_row(native: Library) -> None:
    big = 2.0**24
    loss, targets = np.zeros(130, dtype=np.float32), np.zeros(130, dtype=np.int64)
    # Rows 0, 64 and 128 share a lane, in which both ones are lost; rows 1 and 65 make 2 before they meet it.
    loss[[0, 64, 128]] = big, 1, 1
    assert losses.loss_sum(loss, targets) == big
    loss[[64, 128, 1, 65]] = 0, 0, 1, 1
    assert losses.loss_sum(loss, targets) == big + 2
    targets[65] = -100
    assert losses.loss_sum(loss, targets) == big


def test_a_row_without_a_target_is_no_zero(native: Library) -> None:
    loss, targets = f32([-0.0, 0, 7])[0], np.array([3, -100, -100])
    assert bits(np.array([losses.loss_sum(loss, targets)], dtype=np.float32)) == [MINUS_ZERO]
    nothing = losses.loss_sum(loss[:0], targets[:0])
    assert bits(np.array([nothing], dtype=np.float32)) == [MINUS_ZERO]
