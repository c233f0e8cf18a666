"""Values known by hand; tests/oracle holds every kernel against these functions."""

from __future__ import annotations

from samebits.numerics.oracle import activations
from samebits.numerics.oracle.binary32 import INFINITY, MINUS_INFINITY, MINUS_ZERO, NAN, ONE, SIGN, ZERO
from samebits.numerics.oracle.functions import number

HALF = 0x3F000000


def test_at_zero_and_at_the_ends() -> None:
    for odd in (activations.tanh, activations.erf):
        assert [odd(x) for x in (ZERO, MINUS_ZERO, INFINITY, MINUS_INFINITY)] == [ZERO, MINUS_ZERO, ONE, SIGN | ONE]
    assert [activations.sigmoid(x) for x in (ZERO, INFINITY, MINUS_INFINITY)] == [HALF, ONE, ZERO]
    for gate in (activations.silu, activations.gelu, activations.gelu_tanh):
        assert [gate(x) for x in (ZERO, MINUS_ZERO, INFINITY, MINUS_INFINITY)] == [
            *(ZERO, MINUS_ZERO, INFINITY, MINUS_ZERO)
        ]
    assert [activations.relu(x) for x in (MINUS_ZERO, SIGN | ONE, ONE, NAN)] == [ZERO, ZERO, ONE, NAN]


def test_gradients_at_zero() -> None:
    for gradient in (activations.silu_backward, activations.gelu_backward, activations.gelu_tanh_backward):
        assert gradient(number(3), ZERO) == 0x3FC00000
    assert activations.tanh_backward(number(3), ZERO) == number(3)
    assert activations.sigmoid_backward(number(4), HALF) == ONE
    assert activations.threshold_backward(ONE, ZERO, ZERO) == ZERO
