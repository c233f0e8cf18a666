"""Matrix products (N-04): acc = +0; for k ascending: acc = fma(a[k], b[k], acc); then one add of the bias.

With `accumulate`, one more add puts the finished product onto what `out` holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.arrays import F32, FLOAT32, check_shape, empty_by_lines, pointer
from samebits.numerics.library import Kernels
from samebits.numerics.matrices import bias_pointer, left_operand, matrix, output, right_operand
from samebits.numerics.observation import observed

_DTYPES = (FLOAT32,)


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
    library: Kernels


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
    k, n, kn = right_operand(weight, layout, dtypes=_DTYPES, where="pack, N-04")
    owner = library.loaded()
    data = empty_by_lines(owner.functions.sb_packed_size_f32(n, k))
    owner.call("sb_pack_f32", n, k, *kn, pointer(data), library.threads())
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
    a = left_operand("x", x, ("M", "K"), weight.k, dtypes=_DTYPES, where=where)
    out, c = output(out, (x.shape[0], weight.n), accumulate=accumulate, operands={"x": x}, where=where)
    owner.call(
        "sb_mm_packed_f32",
        *(x.shape[0], weight.n, weight.k, *a, pointer(weight.data)),
        *(*c, bias_pointer(bias, weight.n, where=where), accumulate, library.threads()),
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
    a = left_operand("dy", dy, ("M", "N"), weight.n, dtypes=_DTYPES, where=where)
    out, c = output(out, (dy.shape[0], weight.k), accumulate=accumulate, operands={"dy": dy}, where=where)
    owner.call(
        "sb_mm_packed_transposed_f32",
        *(dy.shape[0], weight.k, weight.n, *a, pointer(weight.data)),
        *(*c, accumulate, library.threads()),
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
    strided_a, strided_b = matrix("a", a, where=where), matrix("b", b, where=where)
    (m, k), n = a.shape, b.shape[1]
    check_shape("b", b, (k, n), where=where)
    out, c = output(out, (m, n), accumulate=accumulate, operands={"a": a, "b": b}, where=where)
    library.loaded().call(
        "sb_mm_f32",
        *(m, n, k, *strided_a, *strided_b, *c),
        *(bias_pointer(bias, n, where=where), accumulate, library.threads()),
    )
    return out


def _owner(weight: PackedWeight, *, where: str) -> Kernels:
    """Return the library in use, which must be the one that packed the weight."""
    owner = library.loaded()
    if weight.library is not owner:
        raise NumericsError(
            f"`weight` must be packed for {owner.isa}", got=weight.library.isa, where=where, remedy="pack it again"
        )
    return owner
