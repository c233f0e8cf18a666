"""Kernels of one element after another: each on the reference and compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from samebits.numerics import conversions, elementwise, functions, powers
from samebits.numerics.arrays import F32
from samebits.numerics.ops import OPS
from samebits.numerics.reference import pointwise

OF_ONE: dict[str, Callable[..., Any]] = {
    **{name: getattr(functions, name) for name in ("exp", "log", "sin", "cos", "tanh", "erf", "sigmoid", "silu")},
    "gelu": functions.gelu,
    "gelu_tanh": partial(functions.gelu, approximate="tanh"),
    "relu": functions.relu,
    "sqrt": elementwise.sqrt,
    "rsqrt": powers.rsqrt,
    "reciprocal": powers.reciprocal,
    "scale": partial(elementwise.scale, scalar=-1.5),
    "pow_scalar": partial(powers.pow, exponent=3.0),
    "convert_f32_bf16": conversions.convert_f32_bf16,
    "convert_f32_f16": conversions.convert_f32_f16,
}
OF_TWO: dict[str, Callable[..., Any]] = {
    **{name: getattr(elementwise, name) for name in ("add", "sub", "mul", "div")},
    "add_scaled": partial(elementwise.add_scaled, scalar=0.75),
    **{f"{name}_backward": getattr(functions, f"{name}_backward") for name in ("tanh", "sigmoid", "silu", "gelu")},
    "gelu_tanh_backward": partial(functions.gelu_backward, approximate="tanh"),
    "threshold_backward": partial(functions.threshold_backward, threshold=0.5),
    "pow": powers.pow,
}


@pytest.mark.parametrize("name", OF_ONE)
def test_one_operand(same_on_both: Any, numbers: Callable[..., F32], name: str) -> None:
    x = numbers(1, 3, 7)
    if name in ("log", "sqrt", "rsqrt"):
        x = np.abs(x)
    same_on_both(lambda: OF_ONE[name](x))


@pytest.mark.parametrize("name", OF_TWO)
def test_two_operands(same_on_both: Any, numbers: Callable[..., F32], name: str) -> None:
    x, y = numbers(2, 21), numbers(3, 21)
    if name == "pow":
        x = np.abs(x)
    same_on_both(lambda: OF_TWO[name](x, y))


@pytest.mark.parametrize("name", ["convert_bf16_f32", "convert_f16_f32"])
def test_sixteen_bits(same_on_both: Any, name: str) -> None:
    halves = np.arange(0, 0x7C00, 333, dtype=np.uint16)
    x = halves.view(np.float16) if name == "convert_f16_f32" else halves
    same_on_both(lambda: getattr(conversions, name)(x))


def test_an_fma_reads_what_it_writes(same_on_both: Any, numbers: Callable[..., F32]) -> None:
    x, y, z = numbers(4, 9), numbers(5, 9), numbers(6, 9)
    same_on_both(lambda: elementwise.fma(x, y, out=z.copy()))


def test_an_operand_may_be_written(same_on_both: Any, numbers: Callable[..., F32]) -> None:
    def in_place() -> F32:
        x = numbers(7, 5)
        return elementwise.mul(x, x, out=x)

    same_on_both(in_place)


def test_no_element_is_no_error(same_on_both: Any) -> None:
    same_on_both(lambda: functions.exp(np.empty(0, dtype=np.float32)))


def test_every_kernel_is_run_above() -> None:
    run = {*OF_ONE, *OF_TWO, "convert_bf16_f32", "convert_f16_f32", "fma"}
    assert {op.name for op in OPS if op.symbol in pointwise.KERNELS} == run
