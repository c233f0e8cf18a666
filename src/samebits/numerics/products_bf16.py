"""Matrix products of bfloat16 into float32 (N-05), with weights packed once.

Bits are those of AMX's TDPBF16PS; where the processor lacks it, its chains are replayed by fma.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from samebits.numerics import library
from samebits.numerics.arrays import BF16, F32, FLOAT32, UINT16, empty_by_lines, pointer
from samebits.numerics.matrices import bias_pointer, left_operand, output, right_operand
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
    k, n, (address, *strides) = right_operand(weight, layout, dtypes=DTYPES, where="pack_bf16, N-05")
    used = library.loaded()
    data = empty_by_lines(used.functions.sb_packed_size_bf16(n, k))
    is_f32 = weight.dtype == FLOAT32
    used.call("sb_pack_bf16", n, k, address, is_f32, *strides, pointer(data), library.threads())
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
    bias_at = bias_pointer(bias, weight.n, where=where)
    address, *strides = left_operand("x", x, ("M", "K"), weight.k, dtypes=DTYPES, where=where)
    out, c = output(out, (x.shape[0], weight.n), accumulate=accumulate, operands={"x": x}, where=where)
    library.loaded().call(
        "sb_linear_bf16",
        *(x.shape[0], weight.n, weight.k, address, x.dtype == FLOAT32, *strides, pointer(weight.data)),
        *(*c, bias_at, accumulate, library.threads()),
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
    address, *strides = left_operand("dy", dy, ("M", "N"), weight.n, dtypes=DTYPES, where=where)
    out, c = output(out, (dy.shape[0], weight.k), accumulate=accumulate, operands={"dy": dy}, where=where)
    library.loaded().call(
        "sb_linear_backward_bf16",
        *(dy.shape[0], weight.k, weight.n, address, dy.dtype == FLOAT32, *strides, pointer(weight.data)),
        *(*c, accumulate, library.threads()),
    )
    return out
