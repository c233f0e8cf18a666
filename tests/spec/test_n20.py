"""N-20: known answers of rotary tables, rotation and embedding, by hand; frequencies against `decimal`."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest

from samebits.numerics.embedding import embedding, embedding_backward
from samebits.numerics.library import Library
from samebits.numerics.rotary import (
    LinearScaling,
    Llama3Scaling,
    inverse_frequencies,
    rotate,
    rotate_backward,
    tables,
)

LARGE = 2.0**24


def test_frequencies_that_are_powers_of_ten(native: Library) -> None:
    expected = np.array(["1", "0.1", "0.01", "0.001"]).astype(np.float32)
    assert inverse_frequencies(8, 10000.0).tolist() == expected.tolist()


@pytest.mark.parametrize(("d", "theta"), [(64, 10000.0), (128, 500000.0), (80, 1e6)])
def test_frequencies_are_the_nearest(native: Library, d: int, theta: float) -> None:
    frequencies = inverse_frequencies(d, theta)
    with localcontext() as context:
        context.prec = 60
        for i, frequency in enumerate(frequencies):
            exact = (Decimal(theta).ln() * -2 * i / d).exp()
            distance = abs(Decimal(float(frequency)) - exact)
            for neighbour in (np.nextafter(frequency, np.float32(0)), np.nextafter(frequency, np.float32(2))):
                assert distance < abs(Decimal(float(neighbour)) - exact)


def test_scaled_frequencies(native: Library) -> None:
    plain = inverse_frequencies(128, 500000.0)
    linear = inverse_frequencies(128, 500000.0, LinearScaling(4.0))
    assert linear.tolist() == (plain / 4).tolist()
    llama3 = inverse_frequencies(128, 500000.0, Llama3Scaling(8.0, 1.0, 4.0, 8192))
    waves = 8192 * plain.astype(np.float64) / (2 * np.pi)
    assert llama3[waves > 4].tolist() == plain[waves > 4].tolist()
    assert llama3[waves < 1].tolist() == (plain[waves < 1] / 8).tolist()
    between = (waves > 1) & (waves < 4)
    assert between.sum() > 3
    g = (waves[between] - 1) / 3
    exact = plain[between] * ((1 - g) / 8 + g)
    # float64 rounded to float32: right but for ties that it cannot see.
    assert llama3[between].tolist() == exact.astype(np.float32).tolist()


def test_tables_start_unturned(native: Library) -> None:
    cos, sin = tables(3, inverse_frequencies(8, 10000.0))
    assert cos[0].tolist() == [1] * 4
    assert sin[0].view(np.uint32).tolist() == [0] * 4
    assert cos.shape == sin.shape == (3, 4)
    assert abs(float(sin[2, 0]) - np.sin(2.0)) < 2.0**-23


def test_rotation_rounds_the_second_product_alone(native: Library) -> None:
    """(1 + 2^-12)^2 is not a float32: in the fma it counts in full, beside it it is rounded."""
    x = np.array([1 + 2.0**-12, 0, 0, 1 + 2.0**-12], dtype=np.float32).reshape(1, 1, 4)
    cos = np.array([[1 + 2.0**-12, 1]], dtype=np.float32)
    sin = np.array([[1, 1 + 2.0**-12]], dtype=np.float32)
    rounded = np.float32(1 + 2.0**-11)
    turned = rotate(x, cos, sin).ravel().tolist()
    assert turned == [rounded, -rounded, 1 + 2.0**-12, 1 + 2.0**-12]
    assert rotate_backward(x, cos, sin).ravel().tolist() == [rounded, rounded, -(1 + 2.0**-12), 1 + 2.0**-12]
    both = np.array([1 + 2.0**-12, 1 + 2.0**-12], dtype=np.float32).reshape(1, 1, 2)
    cos = sin = np.array([[1 + 2.0**-12]], dtype=np.float32)
    assert rotate(both, cos, sin).ravel().tolist() == [2.0**-24, 2 + 2.0**-10]
    assert rotate_backward(both, cos, sin).ravel().tolist() == [2 + 2.0**-10, 2.0**-24]


def test_embedding_copies_and_its_gradient_adds_by_position(native: Library) -> None:
    table = np.array([[1, -0.0], [3, 4], [5, 6]], dtype=np.float32)
    ids = np.array([2, 0, 2], dtype=np.int64)
    assert embedding(table, ids).tobytes() == table[ids].tobytes()
    for column, expected in (((LARGE, 1, 1), LARGE), ((1, 1, LARGE), LARGE + 2)):
        dout = np.array(column, dtype=np.float32).reshape(3, 1)
        all_of_one = np.zeros(3, dtype=np.int64)
        assert embedding_backward(dout, all_of_one, np.full((2, 1), np.nan, dtype=np.float32)).tolist() == [
            [expected],
            [0],
        ]
    held = np.full((2, 1), LARGE, dtype=np.float32)
    ones = np.ones((2, 1), dtype=np.float32)
    assert embedding_backward(ones, np.zeros(2, dtype=np.int64), held, accumulate=True).tolist() == [[LARGE], [LARGE]]
    zero = embedding_backward(np.full((1, 1), -0.0, dtype=np.float32), np.zeros(1, dtype=np.int64), held)
    assert zero.view(np.uint32).tolist() == [[0], [0]]
