"""N-18: known answers of norms, by hand, each of which another order or rounding would miss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from samebits.numerics import norms
from samebits.numerics.arrays import F32
from samebits.numerics.library import Library

MINUS_ZERO = 0x80000000


def f32(*rows: Sequence[float]) -> F32:
    return np.array(rows, dtype=np.float32)


def bits(*numbers: int) -> F32:
    return np.array(numbers, dtype=np.uint32).view(np.float32)


def test_layer_norm_by_hand(native: Library) -> None:
    # Mean 4, squares 9 + 1 + 1 + 9 = 20, variance 5, 1 / sqrt(5 + 11) = 1/4.
    y, mean, rstd = norms.layer_norm(f32([1, 3, 5, 7]), f32([1, 2, 3, 4])[0], f32([0, 1, 0, 1])[0], eps=11)
    assert (mean.tolist(), rstd.tolist(), y.tolist()) == ([4], [0.25], [[-0.75, 0.5, 0.75, 4]])


def test_a_weight_or_a_bias_alone(native: Library) -> None:
    x, factor = f32([1, 3, 5, 7]), f32([1, 2, 3, 4])[0]
    assert norms.layer_norm(x, factor, eps=11)[0].tolist() == [[-0.75, -0.5, 0.75, 3]]
    assert norms.layer_norm(x, None, factor, eps=11)[0].tolist() == [[0.25, 1.75, 3.25, 4.75]]
    assert norms.layer_norm(x, eps=11)[0].tolist() == [[-0.75, -0.25, 0.25, 0.75]]


def test_eps_stands_under_the_root(native: Library) -> None:
    # 1 / sqrt(0 + 1/16); added to the deviation it would give 16.
    assert norms.layer_norm(f32([2, 2]), eps=1 / 16)[2].tolist() == [4]
    assert norms.rms_norm(f32([0, 0]), eps=1 / 16)[1].tolist() == [4]


def test_the_mean_is_a_quotient(native: Library) -> None:
    # 5 * fl(1/3) rounds to 0x3fd55556.
    assert norms.layer_norm(f32([1, 1, 3]), eps=1)[1].view(np.uint32).tolist() == [0x3FD55555]


def test_the_variance_is_of_the_differences(native: Library) -> None:
    # The squares of 4096 and 4097 are exact sums of ones here; their float32 mean minus that of the mean would be 0.
    x = f32([4097, 4099] * 32)
    y, mean, rstd = norms.layer_norm(x, eps=0)
    assert (mean.tolist(), rstd.tolist()) == ([4098], [1])
    assert y.tolist() == [[-1, 1] * 32]


def test_weight_and_bias_are_one_fma(native: Library) -> None:
    # h = 3 * fl(1 / fl(sqrt 3)) = 0x3fddb3d7; times 1 + 2^-12 it rounds to 0x3fddc1b2, and 0x1.ebp-26 of it is lost.
    weight, bias = bits(0x3F800800, 0, 0, 0), bits(0x3FDDC1B2 | MINUS_ZERO, 0, 0, 0)
    y = norms.layer_norm(f32([3, -1, -1, -1]), weight, bias, eps=0)[0]
    assert y[0, 0] == float.fromhex("0x1.eb8p-26")


def test_rms_norm_by_hand(native: Library) -> None:
    # Squares 1 + 49, mean 25, fl(1/5) = 0x3e4ccccd. fl(7 fl(1/5)) fl(9/7) = 0x3fe66666; weight first: ...67.
    y, rstd = norms.rms_norm(f32([1, 7]), bits(0x3F800000, 0x3FA49249), eps=0)
    assert rstd.view(np.uint32).tolist() == [0x3E4CCCCD]
    assert y.view(np.uint32).tolist() == [[0x3E4CCCCD, 0x3FE66666]]


def test_missing_elements_are_skipped(native: Library) -> None:
    # The sum of zeros of either sign is -0 only if nothing else was taken in; -0 - -0 = +0, but -0 - +0 = -0.
    y, mean, _ = norms.layer_norm(np.full((1, 67), -0.0, dtype=np.float32), eps=1)
    assert mean.view(np.uint32).tolist() == [MINUS_ZERO]
    assert y.view(np.uint32).tolist() == [[0] * 67]


def test_gradients_of_the_input_by_hand(native: Library) -> None:
    dy, x, mean, rstd = f32([4, 0, 0, 0]), f32([2, 2, 0, 0]), f32([1])[0], f32([0.5])[0]
    # h = (1/2, 1/2, -1/2, -1/2); along 2/4, level 4/4: 1/2 * (4 - 1 - 1/4, -1 - 1/4, -1 + 1/4, -1 + 1/4).
    assert norms.layer_norm_backward(dy, x, mean, rstd).tolist() == [[1.375, -0.625, -0.375, -0.375]]
    # h = (1, 1, 0, 0); along 4/4: 1/2 * (4 - 1, -1, 0, 0).
    assert norms.rms_norm_backward(dy, x, rstd).tolist() == [[1.5, -0.5, 0, 0]]
    weight, onto = f32([0.5, 9, 9, 9])[0], f32([1, 1, 1, 1])
    norms.rms_norm_backward(dy, x, rstd, weight, out=onto, accumulate=True)
    # g = (2, 0, 0, 0); along 2/4: 1/2 * (2 - 1/2, -1/2, 0, 0), each added to 1.
    assert onto.tolist() == [[1.75, 0.75, 1, 1]]


def test_a_gradient_takes_its_own_projection_off_by_one_fma(native: Library) -> None:
    # One element: h = 1 + 2^-12, g = 1: along fl(h) = h, and 1 - h^2 = -(2^-11 + 2^-24) exactly, where h^2 rounds to
    # 1 + 2^-11.
    h = f32([1 + 2.0**-12])
    dx = norms.rms_norm_backward(f32([1]), h, f32([1])[0])
    assert dx.tolist() == [[-(2.0**-11) - 2.0**-24]]


@pytest.mark.parametrize(("column", "expected"), [([2.0**24, 1, 1], 2.0**24), ([1, 1, 2.0**24], 2.0**24 + 2)])
def test_weight_gradients_are_chains_over_ascending_rows(native: Library, column: list[float], expected: float) -> None:
    dy, ones, zeros = f32(*([d] for d in column)), np.ones(3, dtype=np.float32), np.zeros(3, dtype=np.float32)
    x = np.ones((3, 1), dtype=np.float32)
    dw, db = norms.layer_norm_backward_weight(dy, x, zeros, ones)
    assert (dw.tolist(), db.tolist()) == ([expected], [expected])
    assert norms.rms_norm_backward_weight(dy, x, ones).tolist() == [expected]


def test_a_finished_chain_is_added_to_what_was_there(native: Library) -> None:
    # Taken in one by one, both ones would be lost in 2^24.
    held = f32([2.0**24], [2.0**24])
    dy, x, ones, zeros = f32([1], [1]), f32([1], [1]), f32([1, 1])[0], f32([0, 0])[0]
    norms.layer_norm_backward_weight(dy, x, zeros, ones, out=held[0], out_bias=held[1], accumulate=True)
    assert held.tolist() == [[2.0**24 + 2], [2.0**24 + 2]]


def test_no_rows_give_plus_zero(native: Library) -> None:
    nothing, none = np.empty((0, 3), dtype=np.float32), np.empty(0, dtype=np.float32)
    gradients = np.stack(norms.layer_norm_backward_weight(nothing, nothing, none, none))
    assert gradients.view(np.uint32).tolist() == [[0] * 3] * 2
    assert norms.layer_norm(nothing, eps=1)[0].shape == (0, 3)
