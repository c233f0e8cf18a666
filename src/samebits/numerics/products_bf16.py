"""Matrix products of bfloat16 into float32 (N-05), with weights packed once.

Bits are those of AMX's TDPBF16PS; where the processor lacks it, its chains are replayed by fma.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.arrays import (
    BF16,
    F32,
    FLOAT32,
    UINT16,
    check_apart,
    check_contiguous,
    check_dtype,
    check_f32,
    check_shape,
    check_writable,
    empty_by_lines,
    matrix_strides,
    pointer,
    shape_text,
)
from samebits.numerics.observation import observed

# What an operand may be: float32, rounded as it is read (N-14), or patterns of bfloat16.
DTYPES = (FLOAT32, UINT16)


@dataclass(frozen=True, eq=False)
class PackedWeightBf16:
    """A right operand [K, N] of bfloat16 in the order of AMX's tiles, which every library's kernels read.

    Args:
        n: columns: outputs.
        k: rows: inputs.
        data: the panels, 32-bit words in a float32 array.
    """

    n: int
    k: int
    data: F32


def pack_bf16(weight: F32 | BF16, *, layout: Literal["nk", "kn"]) -> PackedWeightBf16:
    """Pack a frozen weight once for many products; one packing serves forward and backward.

    Bits: N-14 for float32, a copy for bfloat16.

    Args:
        weight: float32, or uint16 patterns of bfloat16; [N, K] for "nk" (as torch's Linear keeps it) or [K, N] for "kn"
            (as GPT-2's Conv1D does); one of its strides must be one element; not modified.
        layout: "nk" or "kn".
    Returns:
        The packed weight, newly allocated: two bytes an element, sizes rounded up to 32.
    Raises:
        NumericsError: dtype, dimensions or strides do not fit.
    """
    where = "pack_bf16, N-05"
    if layout not in ("nk", "kn"):
        raise NumericsError('`layout` must be "nk" or "kn"', got=repr(layout), where=where)
    check_dtype("weight", weight, DTYPES, n_dims=2, where=where)
    matrix: Any = weight.T if layout == "nk" else weight
    b_k, b_n = matrix_strides("weight", matrix, where=where)
    k, n = matrix.shape
    used = library.loaded()
    data = empty_by_lines(used.functions.sb_packed_size_bf16(n, k))
    is_f32 = matrix.dtype == FLOAT32
    used.call("sb_pack_bf16", n, k, pointer(matrix), is_f32, b_k, b_n, pointer(data), library.threads())
    return PackedWeightBf16(n, k, data)


@observed()
def linear_bf16(
    x: F32 | BF16,
    weight: PackedWeightBf16,
    bias: F32 | None = None,
    *,
    out: F32 | None = None,
    accumulate: bool = False,
) -> F32:
    """Return x times the packed weight, plus the bias, in float32.

    Bits: N-05; a float32 x is rounded to bfloat16 first (N-14).

    Args:
        x: [M, K] float32 or uint16 patterns of bfloat16; one of its strides must be one element; not modified.
        weight: [K, N], packed.
        bias: [N] float32, contiguous.
        out: [M, N] float32; one of its strides must be one element; written, and with `accumulate` read.
        accumulate: add the product to what `out` holds.
    Returns:
        `out`, or [M, N] newly allocated.
    Raises:
        NumericsError: dtype, shape or strides do not fit, or `out` overlaps an operand.
    Source: the instruction TDPBF16PS, Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
    """
    where = "linear_bf16, N-05"
    bias_at = None
    if bias is not None:
        check_f32("bias", bias, n_dims=1, where=where)
        check_shape("bias", bias, (weight.n,), where=where)
        check_contiguous("bias", bias, where=where)
        bias_at = pointer(bias)
    operand = _operand("x", x, weight.k, "K", where=where)
    out, c_row, c_n = _output(out, (x.shape[0], weight.n), "x", x, accumulate=accumulate, where=where)
    library.loaded().call(
        "sb_linear_bf16",
        *(x.shape[0], weight.n, weight.k, *operand, pointer(weight.data)),
        *(pointer(out), c_row, c_n, bias_at, accumulate, library.threads()),
    )
    return out


@observed()
def linear_backward_bf16(
    dy: F32 | BF16, weight: PackedWeightBf16, *, out: F32 | None = None, accumulate: bool = False
) -> F32:
    """Return the gradient of `linear_bf16`'s input: dy times the transpose of the packed weight, in float32.

    Bits: N-05, blocks and chains over the weight's columns n; a float32 dy is rounded to bfloat16 first (N-14).

    Args:
        dy: [M, N] float32 or uint16 patterns of bfloat16; one of its strides must be one element; not modified.
        weight: [K, N], packed.
        out: [M, K] float32; one of its strides must be one element; written, and with `accumulate` read.
        accumulate: add the product to what `out` holds.
    Returns:
        `out`, or [M, K] newly allocated.
    Raises:
        NumericsError: dtype, shape or strides do not fit, or `out` overlaps an operand.
    """
    where = "linear_backward_bf16, N-05"
    operand = _operand("dy", dy, weight.n, "N", where=where)
    out, c_row, c_n = _output(out, (dy.shape[0], weight.k), "dy", dy, accumulate=accumulate, where=where)
    library.loaded().call(
        "sb_linear_backward_bf16",
        *(dy.shape[0], weight.k, weight.n, *operand, pointer(weight.data)),
        *(pointer(out), c_row, c_n, accumulate, library.threads()),
    )
    return out


def _operand(name: str, x: F32 | BF16, width: int, letter: str, *, where: str) -> tuple[int, bool, int, int]:
    """Return what the kernels want to know of a left operand: where it is, whether float32, and its strides."""
    check_dtype(name, x, DTYPES, n_dims=2, where=where)
    if x.shape[1] != width:
        must = f"`{name}` must be [M, {letter}] = [M, {width}]"
        raise NumericsError(must, got=shape_text(x.shape), where=where)
    row, column = matrix_strides(name, x, where=where)
    return pointer(x), x.dtype == FLOAT32, row, column


def _output(
    out: F32 | None, shape: tuple[int, int], name: str, operand: F32 | BF16, *, accumulate: bool, where: str
) -> tuple[F32, int, int]:
    if out is None:
        if accumulate:
            raise NumericsError("`out` must be given to accumulate into", where=where)
        return np.empty(shape, dtype=np.float32), shape[1], 1
    check_f32("out", out, n_dims=2, where=where)
    row, column = matrix_strides("out", out, where=where)
    check_shape("out", out, shape, where=where)
    check_writable("out", out, where=where)
    check_apart("out", out, name, operand, where=where)
    return out, row, column
