"""N-08 on every library against the oracle, bit by bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samebits.numerics import functions
from samebits.numerics.arrays import F32
from samebits.numerics.library import Library
from samebits.numerics.oracle import activations, trigonometric
from samebits.numerics.oracle import functions as oracle

Numbers = Callable[..., F32]
Words = Callable[[F32], list[int]]
KINDS = ("curved", "ends", "plain", "subnormal", "special", "any bits")
OF_X: dict[str, tuple[Callable[[F32], F32], Callable[[int], int]]] = {
    "exp": (functions.exp, oracle.exp),
    "log": (functions.log, oracle.log),
    "sin": (functions.sin, trigonometric.sin),
    "cos": (functions.cos, trigonometric.cos),
    "tanh": (functions.tanh, activations.tanh),
    "erf": (functions.erf, activations.erf),
    "sigmoid": (functions.sigmoid, activations.sigmoid),
    "silu": (functions.silu, activations.silu),
    "gelu": (functions.gelu, activations.gelu),
    "gelu_tanh": (lambda x: functions.gelu(x, approximate="tanh"), activations.gelu_tanh),
    "relu": (functions.relu, activations.relu),
}
GRADIENTS: dict[str, tuple[Callable[[F32, F32], F32], Callable[[int, int], int]]] = {
    "tanh": (functions.tanh_backward, activations.tanh_backward),
    "sigmoid": (functions.sigmoid_backward, activations.sigmoid_backward),
    "silu": (functions.silu_backward, activations.silu_backward),
    "gelu": (functions.gelu_backward, activations.gelu_backward),
    "gelu_tanh": (
        lambda d, x: functions.gelu_backward(d, x, approximate="tanh"),
        activations.gelu_tanh_backward,
    ),
}


def arguments(numbers: Numbers, kind: str, seed: int, n: int) -> F32:
    """Return arguments of one kind; "curved": where functions are not constant; "ends": about where they become so."""
    generator = np.random.default_rng([seed, n])
    if kind == "curved":
        sizes = 2.0 ** generator.uniform(-12, 7, n)
        return (generator.choice([-1.0, 1.0], n) * sizes).astype(np.float32)
    if kind == "ends":
        # Clamps, first and last results that are subnormal, and the largest x that takes few quadrants.
        ends = [89.0, -104.0, 88.7228, -87.33, 9.5, 4.0, -110.0, 32.0, -10.9, 6.0, 15.0, 13.0, -13.19, 2.0**20, 0.5]
        near = generator.choice(np.array(ends, dtype=np.float32), n).view(np.int32) + generator.integers(-3, 4, n)
        return (near.astype(np.int32) ^ generator.choice([0, -(2**31)], n).astype(np.int32)).view(np.float32)
    return numbers(kind, seed, n)


@pytest.mark.parametrize("name", OF_X)
def test_functions_equal_the_oracle(native: Library, numbers: Numbers, words: Words, name: str) -> None:
    kernel, answer = OF_X[name]

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(n=st.integers(0, 70), offset=st.integers(0, 17), kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32))
    def check(n: int, offset: int, kind: str, seed: int) -> None:
        x = arguments(numbers, kind, seed, n + offset)[offset:]
        expected = [answer(word) for word in words(x)]
        assert words(kernel(x)) == expected

    check()


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_equal_the_oracle(native: Library, numbers: Numbers, words: Words, name: str) -> None:
    kernel, answer = GRADIENTS[name]

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(n=st.integers(0, 70), offset=st.integers(0, 17), kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32))
    def check(n: int, offset: int, kind: str, seed: int) -> None:
        x = arguments(numbers, kind, seed, n + offset)[offset:]
        d = numbers("any bits" if seed % 2 else "plain", seed, n)
        assert words(kernel(d, x)) == [answer(*pair) for pair in zip(words(d), words(x), strict=True)]

    check()


def test_thresholds_equal_the_oracle(native: Library, numbers: Numbers, words: Words) -> None:
    for kind in KINDS:
        d, x = numbers("plain", 1, 99), arguments(numbers, kind, 2, 99)
        for threshold in (0.0, -0.0, 0.5, -(2.0**-149)):
            bits = words(np.array([threshold], dtype=np.float32))[0]
            expected = [activations.threshold_backward(*pair, bits) for pair in zip(words(d), words(x), strict=True)]
            assert words(functions.threshold_backward(d, x, threshold)) == expected


def test_where_branches_meet_within_one_vector(native: Library, words: Words) -> None:
    """Lanes that need the rare path beside lanes that do not: each has the bits that it has alone."""
    x = np.array([1.0, 2.0**21, -0.0, 1e-40, 100.0, -13.5, 2.0**100, 0.75, -100.0, 3e-39] * 7, dtype=np.float32)
    for name, (kernel, _) in OF_X.items():
        alone = [kernel(x[i : i + 1].copy())[0] for i in range(x.size)]
        assert words(kernel(x)) == words(np.array(alone, dtype=np.float32)), name


def test_threads_reach_no_bit(native: Library, n_threads: int) -> None:
    """Enough elements that several threads get a part; the reference has one."""
    from samebits.numerics import library

    x = np.random.default_rng(7).standard_normal(70_001).astype(np.float32)
    for kernel in (functions.exp, functions.gelu, functions.sin):
        actual = kernel(x).tobytes()
        library.set_threads(1)
        expected = kernel(x).tobytes()
        library.set_threads(n_threads)
        assert actual == expected


def test_the_output_may_be_the_input(native: Library) -> None:
    x = np.random.default_rng(8).standard_normal(1001).astype(np.float32)
    expected = functions.silu(x).tobytes()
    assert functions.silu(x, out=x) is x
    assert x.tobytes() == expected
