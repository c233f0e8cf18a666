"""Powers, roots and norms of float32 arrays (N-15).

Operands are float32, C-contiguous and of one shape; `out` may be one of them. Names are aten's.
"""

from __future__ import annotations

import numpy as np

from samebits.numerics import library
from samebits.numerics.arrays import F32, check_f32, float32_value, pointer, row_stride
from samebits.numerics.observation import observed
from samebits.numerics.pointwise import call_of_two, call_of_x


@observed()
def pow(x: F32, exponent: F32 | float, *, out: F32 | None = None) -> F32:  # noqa: A001 - aten's name
    """Return x to the power of `exponent`, an array like x or one float32 value (N-15)."""
    if isinstance(exponent, np.ndarray):
        return call_of_two("sb_pow_f32", "pow, N-15", ("x", "exponent"), x, exponent, out)
    scalar = float32_value("exponent", exponent, where="pow, N-15")
    return call_of_x("sb_pow_scalar_f32", "pow, N-15", x, out, scalar)


@observed()
def rsqrt(x: F32, *, out: F32 | None = None) -> F32:
    """Return 1 / sqrt(x), rounded twice (N-15)."""
    return call_of_x("sb_rsqrt_f32", "rsqrt, N-15", x, out)


@observed()
def reciprocal(x: F32, *, out: F32 | None = None) -> F32:
    """Return 1 / x (N-15)."""
    return call_of_x("sb_reciprocal_f32", "reciprocal, N-15", x, out)


@observed()
def vector_norm(x: F32) -> F32:
    """Return the Euclidean norm of each row.

    Bits: N-15 (the lanes of N-07, then the root).

    Args:
        x: [rows, n] float32, rows contiguous and any distance apart; not modified.
    Returns:
        [rows] float32, newly allocated; the norm of nothing is -0.
    Raises:
        NumericsError: dtype, dimensions or strides do not fit.
    """
    where = "vector_norm, N-15"
    check_f32("x", x, n_dims=2, where=where)
    rows, n = x.shape
    out = np.empty(rows, dtype=np.float32)
    stride = row_stride("x", x, where=where)
    library.loaded().call("sb_vector_norm_f32", rows, n, pointer(x), stride, pointer(out), library.threads())
    return out
