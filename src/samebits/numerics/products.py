"""Matrix products (N-04): acc = +0; for k ascending: acc = fma(a[k], b[k], acc); then one add of the bias.

With `accumulate`, one more add puts the finished product onto what `out` holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.arrays import (
    F32,
    check_apart,
    check_contiguous,
    check_f32,
    check_shape,
    check_writable,
    empty_by_lines,
    matrix_strides,
    pointer,
    shape_text,
)
from samebits.numerics.library import Library
from samebits.numerics.observation import observed


@dataclass(frozen=True, eq=False)
class PackedWeight:
    """A right operand [K, N] in the order in which one library's kernels read it.

    Args:
        n: columns: outputs.
        k: rows: inputs.
        data: the panels, float32; their layout belongs to `library` and to no file.
        library: what packed it and alone may read it.
    """

    n: int
    k: int
    data: F32
    library: Library


def pack(weight: F32, *, layout: Literal["nk", "kn"]) -> PackedWeight:
    """Pack a frozen weight once for many products.

    Bits: N-04 (a copy).

    Args:
        weight: float32, [N, K] for "nk" (as torch's Linear keeps it) or [K, N] for "kn" (as GPT-2's Conv1D does); one
            of its strides must be one element; not modified.
        layout: "nk" or "kn".
    Returns:
        The packed weight, newly allocated.
    Raises:
        NumericsError: dtype, dimensions or strides do not fit.
    """
    if layout not in ("nk", "kn"):
        raise NumericsError('`layout` must be "nk" or "kn"', got=repr(layout), where="pack, N-04")
    matrix = weight.T if layout == "nk" else weight
    b_k, b_n = _strides("weight", matrix, where="pack, N-04")
    k, n = matrix.shape
    owner = library.loaded()
    data = empty_by_lines(owner.functions.sb_packed_size_f32(n, k))
    owner.call("sb_pack_f32", n, k, pointer(matrix), b_k, b_n, pointer(data), library.threads())
    return PackedWeight(n, k, data, owner)


@observed()
def linear(
    x: F32, weight: PackedWeight, bias: F32 | None = None, *, out: F32 | None = None, accumulate: bool = False
) -> F32:
    """Return x times the packed weight, plus the bias.

    Bits: N-04.

    Args:
        x: [M, K] float32; one of its strides must be one element; not modified.
        weight: [K, N], packed on the library in use.
        bias: [N] float32, contiguous.
        out: [M, N] float32; one of its strides must be one element; written, and with `accumulate` read.
        accumulate: add the product to what `out` holds.
    Returns:
        `out`, or [M, N] newly allocated.
    Raises:
        NumericsError: dtype, shape or strides do not fit, or `out` overlaps an operand.
    """
    where = "linear, N-04"
    owner = _owner(weight, where=where)
    a_row, a_k = _strides("x", x, where=where)
    if x.shape[1] != weight.k:
        raise NumericsError(f"`x` must be [M, K] = [M, {weight.k}]", got=shape_text(x.shape), where=where)
    out, c_row, c_n = _output(out, (x.shape[0], weight.n), accumulate=accumulate, operands={"x": x}, where=where)
    owner.call(
        "sb_mm_packed_f32",
        *(x.shape[0], weight.n, weight.k, pointer(x), a_row, a_k, pointer(weight.data)),
        *(pointer(out), c_row, c_n, _bias(bias, weight.n, where=where), accumulate, library.threads()),
    )
    return out


@observed()
def linear_backward(dy: F32, weight: PackedWeight, *, out: F32 | None = None, accumulate: bool = False) -> F32:
    """Return the gradient of `linear`'s input: dy times the transpose of the packed weight.

    The same panels serve both directions, so that a frozen weight stands in memory once.

    Bits: N-04, the chain over the weight's columns n ascending.

    Args:
        dy: [M, N] float32; one of its strides must be one element; not modified.
        weight: [K, N], packed on the library in use.
        out: [M, K] float32; one of its strides must be one element; written, and with `accumulate` read.
        accumulate: add the product to what `out` holds.
    Returns:
        `out`, or [M, K] newly allocated.
    Raises:
        NumericsError: dtype, shape or strides do not fit, or `out` overlaps an operand.
    """
    where = "linear_backward, N-04"
    owner = _owner(weight, where=where)
    a_row, a_k = _strides("dy", dy, where=where)
    if dy.shape[1] != weight.n:
        raise NumericsError(f"`dy` must be [M, N] = [M, {weight.n}]", got=shape_text(dy.shape), where=where)
    out, c_row, c_n = _output(out, (dy.shape[0], weight.k), accumulate=accumulate, operands={"dy": dy}, where=where)
    owner.call(
        "sb_mm_packed_transposed_f32",
        *(dy.shape[0], weight.k, weight.n, pointer(dy), a_row, a_k, pointer(weight.data)),
        *(pointer(out), c_row, c_n, accumulate, library.threads()),
    )
    return out


@observed()
def mm(a: F32, b: F32, bias: F32 | None = None, *, out: F32 | None = None, accumulate: bool = False) -> F32:
    """Return the matrix product of two plain arrays, plus the bias.

    Bits: N-04.

    Args:
        a: [M, K] float32; one of its strides must be one element; not modified.
        b: [K, N] float32, likewise.
        bias: [N] float32, contiguous.
        out: [M, N] float32, likewise; written, and with `accumulate` read.
        accumulate: add the product to what `out` holds.
    Returns:
        `out`, or [M, N] newly allocated.
    Raises:
        NumericsError: dtype, shape or strides do not fit, or `out` overlaps an operand.
    """
    where = "mm, N-04"
    a_row, a_k = _strides("a", a, where=where)
    b_k, b_n = _strides("b", b, where=where)
    (m, k), n = a.shape, b.shape[1]
    check_shape("b", b, (k, n), where=where)
    out, c_row, c_n = _output(out, (m, n), accumulate=accumulate, operands={"a": a, "b": b}, where=where)
    library.loaded().call(
        "sb_mm_f32",
        *(m, n, k, pointer(a), a_row, a_k, pointer(b), b_k, b_n),
        *(pointer(out), c_row, c_n, _bias(bias, n, where=where), accumulate, library.threads()),
    )
    return out


def _owner(weight: PackedWeight, *, where: str) -> Library:
    """Return the library in use, which must be the one that packed the weight."""
    owner = library.loaded()
    if weight.library is not owner:
        raise NumericsError(
            f"`weight` must be packed for {owner.isa}", got=weight.library.isa, where=where, remedy="pack it again"
        )
    return owner


def _strides(name: str, matrix: F32, *, where: str) -> tuple[int, int]:
    """Return the strides of a float32 matrix."""
    check_f32(name, matrix, n_dims=2, where=where)
    return matrix_strides(name, matrix, where=where)


def _bias(bias: F32 | None, n: int, *, where: str) -> int | None:
    if bias is None:
        return None
    check_f32("bias", bias, n_dims=1, where=where)
    check_shape("bias", bias, (n,), where=where)
    check_contiguous("bias", bias, where=where)
    return pointer(bias)


def _output(
    out: F32 | None, shape: tuple[int, int], *, accumulate: bool, operands: dict[str, F32], where: str
) -> tuple[F32, int, int]:
    if out is None:
        if accumulate:
            raise NumericsError("`out` must be given to accumulate into", where=where)
        out = np.empty(shape, dtype=np.float32)
        return out, shape[1], 1
    row, column = _strides("out", out, where=where)
    check_shape("out", out, shape, where=where)
    check_writable("out", out, where=where)
    for name, operand in operands.items():
        check_apart("out", out, name, operand, where=where)
    return out, row, column
