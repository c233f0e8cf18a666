"""Kernels that make each output from the inputs at the same place (N-02, N-08, N-09, N-14, N-15)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from samebits.numerics.ops import OPS, POINTER, Op
from samebits.numerics.oracle import activations, binary32, conversions, elementwise, functions, powers, trigonometric
from samebits.numerics.reference.memory import HALF, WORD, pattern, put, vector

Operation = Callable[..., int]

_OPERATIONS: dict[str, Operation] = {
    **{name: getattr(binary32, name) for name in ("add", "sub", "mul", "div", "sqrt")},
    "scale": binary32.mul,
    "add_scaled": elementwise.add_scaled,
    "exp": functions.exp,
    "log": functions.log,
    "sin": trigonometric.sin,
    "cos": trigonometric.cos,
    **{name: getattr(activations, name) for name in ("tanh", "erf", "sigmoid", "silu", "gelu", "gelu_tanh", "relu")},
    "tanh_backward": activations.tanh_backward,
    "sigmoid_backward": activations.sigmoid_backward,
    "silu_backward": activations.silu_backward,
    "gelu_backward": activations.gelu_backward,
    "gelu_tanh_backward": activations.gelu_tanh_backward,
    "threshold_backward": activations.threshold_backward,
    "pow": powers.pow,
    "pow_scalar": powers.pow,
    "rsqrt": powers.rsqrt,
    "reciprocal": powers.reciprocal,
    "convert_f32_bf16": conversions.f32_to_bf16,
    "convert_bf16_f32": conversions.bf16_to_f32,
    "convert_f16_f32": conversions.f16_to_f32,
    "convert_f32_f16": conversions.f32_to_f16,
}


def _dtypes(name: str) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """Return the types of operands and outputs."""
    if not name.startswith("convert_"):
        return WORD, WORD
    source, target = (WORD if end == "f32" else HALF for end in name.split("_")[1:])
    return source, target


def _kernel(op: Op, operation: Operation) -> Callable[..., int]:
    """Return the kernel (n, operands..., out, n_threads); a scalar among the operands goes with every element."""
    source, target = _dtypes(op.name)
    kinds = op.arguments[1:-2]

    def run(n: int, *arguments: Any) -> int:
        *operands, out, _ = arguments
        columns = [
            vector(operand, n, source).tolist() if kind is POINTER else [pattern(operand)] * n
            for operand, kind in zip(operands, kinds, strict=True)
        ]
        put(vector(out, n, target), [operation(*elements) for elements in zip(*columns, strict=True)])
        return 0

    return run


def fma(n: int, x: int, y: int, out: int, _: int) -> int:
    """Put x * y + out into `out`."""
    columns = [vector(address, n).tolist() for address in (x, y, out)]
    put(vector(out, n), [binary32.fma(*elements) for elements in zip(*columns, strict=True)])
    return 0


KERNELS: dict[str, Callable[..., int]] = {
    **{op.symbol: _kernel(op, _OPERATIONS[op.name]) for op in OPS if op.name in _OPERATIONS},
    "sb_fma_f32": fma,
}
