"""Canaries of functions: arguments where they are curved, over the whole range, and the ends of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from samebits.numerics import functions
from samebits.numerics.arrays import F32
from samebits.numerics.canaries.canary import Canary, each, pattern
from samebits.numerics.oracle import activations, trigonometric
from samebits.numerics.oracle import functions as oracle

ROW = 3 * 64 + 37
# The last is the one nearest to a multiple of pi / 2, 1.6e-9 away.
FINITE_BITS = (0, 0x80000000, 1, 0x80000001, 0x00800000, 0x80800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x6F79BE45)
INFINITE_BITS = (0x7F800000, 0xFF800000)


def finite(seed: int) -> F32:
    """Return numbers from 2^-27 to 2^8, numbers of every size, and the least and greatest."""
    ends = np.array(FINITE_BITS, dtype=np.uint32).view(np.float32)
    return np.concatenate([pattern(seed, ROW, low=100, high=135), pattern(seed + 1, 64, low=0, high=255), ends])


def with_infinities(seed: int) -> F32:
    """Return the same and both infinities."""
    return np.concatenate([finite(seed), np.array(INFINITE_BITS, dtype=np.uint32).view(np.float32)])


def not_negative(seed: int) -> F32:
    """Return the same without signs: where a logarithm or a root is a number."""
    return np.abs(with_infinities(seed))


def _of_x(name: str, make: Callable[[int], F32], seed: int, answer: Callable[[int], int], sha256: str) -> Canary:
    run = getattr(functions, name, None) or partial(functions.gelu, approximate="tanh")
    return Canary("N-08", name, lambda: (make(seed),), run, each(answer), sha256)


def _gradient(name: str, make: Callable[[int], F32], seed: int, answer: Callable[..., int], sha256: str) -> Canary:
    def operands() -> tuple[F32, F32]:
        x = make(seed)
        return pattern(seed + 2, x.size, low=110, high=130), x

    run = getattr(functions, name, None) or partial(functions.gelu_backward, approximate="tanh")
    return Canary("N-08", name, operands, run, each(answer), sha256)


def _threshold_operands() -> tuple[F32, F32, float]:
    x = with_infinities(61)
    return pattern(63, x.size, low=110, high=130), x, 0.5


CANARIES = (
    _of_x("exp", with_infinities, 18, oracle.exp, "a8c3e5c1365afdeb632033abc398544e07cab7b20b682e7a839d5c91fc55ca11"),
    _of_x("log", not_negative, 20, oracle.log, "f57fdffc64ca36a70cbffab9148031be1d92b09af0f4bc7eee06710139111e89"),
    _of_x("sin", finite, 22, trigonometric.sin, "e4afe2286d0491ab9880c3bcf370448b41cc1bac4cd1ac3bd618628321dc7f64"),
    _of_x("cos", finite, 24, trigonometric.cos, "b3afca610b2108311af1144c15f891c97398484c69edf39f760bfca04b210394"),
    _of_x(
        "tanh",
        with_infinities,
        26,
        activations.tanh,
        "2fb00b8d48262072d17a022421ec390ef2db9a603328681d653d6a8e41fbf974",
    ),
    _of_x(
        "erf", with_infinities, 28, activations.erf, "4858991c9691fe4caed27bd81a7f90415d70a41e184c1ec627f8666a2a098252"
    ),
    _of_x(
        "sigmoid",
        with_infinities,
        30,
        activations.sigmoid,
        "2d619c606464d310d99eee555e32d880512773b70f0b62b33d07b3fe757b5a70",
    ),
    _of_x(
        "silu",
        with_infinities,
        32,
        activations.silu,
        "0c2e20ac04b5bade408fb08fb1024a08392f9cef9287aa4a417dc7a2f8478d5d",
    ),
    _of_x(
        "gelu",
        with_infinities,
        34,
        activations.gelu,
        "54564aa722efcc80d4915cc347d6062b4c0a887fa3979880f92f00a8e4e9ab24",
    ),
    _of_x(
        "gelu_tanh",
        with_infinities,
        36,
        activations.gelu_tanh,
        "dd3d924652c40d8c33ef80050eb270504bc719aa7776e799c12d7150d032070d",
    ),
    _of_x(
        "relu",
        with_infinities,
        38,
        activations.relu,
        "0324229cf0b0e0bc1a413f900466ee62b3630964039c60dc2e16216f7fda853c",
    ),
    _gradient(
        "tanh_backward",
        finite,
        41,
        activations.tanh_backward,
        "e0ab73f7e87081c4085a5808f596f9f79322644f437f8767577754a05cd1de6e",
    ),
    _gradient(
        "sigmoid_backward",
        finite,
        45,
        activations.sigmoid_backward,
        "9c633187998c70e38ffb3e7e6c06808eb25ed33e4131d51712b5e904d5e48732",
    ),
    _gradient(
        "silu_backward",
        with_infinities,
        49,
        activations.silu_backward,
        "5f4f482da6248641c9316e026c73b1cfcfd4b6c500e31c2eec552eaa1e870317",
    ),
    _gradient(
        "gelu_backward",
        with_infinities,
        53,
        activations.gelu_backward,
        "6f46b74636757f8cfbfd43a7b976a0e58228b75aa0811ed142e8423654124f23",
    ),
    _gradient(
        "gelu_tanh_backward",
        with_infinities,
        57,
        activations.gelu_tanh_backward,
        "8d6fd83bf6d8b3f6aba2e962164af5457a6a336510f385110ceea37988213bc1",
    ),
    Canary(
        *("N-08", "threshold_backward", _threshold_operands, functions.threshold_backward),
        *(each(activations.threshold_backward), "3c6c480bbae66b95aef45c2055a369be206d1f99fdb55acd3f72cc7cb543c80f"),
    ),
)
