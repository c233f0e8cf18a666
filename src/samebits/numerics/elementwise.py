"""One correctly rounded operation per element (N-09), and the two ways to multiply and add (N-02).

Operands are float32, C-contiguous and of one shape; `out` may be one of them. A scalar must be a float32 value.
"""

from __future__ import annotations

from samebits.numerics.arrays import F32, float32_value
from samebits.numerics.observation import observed
from samebits.numerics.pointwise import call_of_two, call_of_x

_LABELS = ("x", "y")


@observed()
def add(x: F32, y: F32, *, out: F32 | None = None) -> F32:
    """Return x + y (N-09)."""
    return call_of_two("sb_add_f32", "add, N-09", _LABELS, x, y, out)


@observed()
def sub(x: F32, y: F32, *, out: F32 | None = None) -> F32:
    """Return x - y (N-09)."""
    return call_of_two("sb_sub_f32", "sub, N-09", _LABELS, x, y, out)


@observed()
def mul(x: F32, y: F32, *, out: F32 | None = None) -> F32:
    """Return x * y (N-09)."""
    return call_of_two("sb_mul_f32", "mul, N-09", _LABELS, x, y, out)


@observed()
def div(x: F32, y: F32, *, out: F32 | None = None) -> F32:
    """Return x / y (N-09)."""
    return call_of_two("sb_div_f32", "div, N-09", _LABELS, x, y, out)


@observed()
def sqrt(x: F32, *, out: F32 | None = None) -> F32:
    """Return the square root of x (N-09)."""
    return call_of_x("sb_sqrt_f32", "sqrt, N-09", x, out)


@observed()
def scale(x: F32, scalar: float, *, out: F32 | None = None) -> F32:
    """Return scalar * x (N-09)."""
    where = "scale, N-09"
    return call_of_x("sb_scale_f32", where, x, out, float32_value("scalar", scalar, where=where))


@observed()
def add_scaled(x: F32, y: F32, scalar: float, *, out: F32 | None = None) -> F32:
    """Return x + scalar * y: the product is rounded, then the sum (N-02)."""
    where = "add_scaled, N-02"
    scalar = float32_value("scalar", scalar, where=where)
    return call_of_two("sb_add_scaled_f32", where, _LABELS, x, y, out, scalar)


@observed()
def fma(x: F32, y: F32, *, out: F32) -> F32:
    """Put x * y + out, rounded once, into `out` and return it (N-02)."""
    return call_of_two("sb_fma_f32", "fma, N-02", _LABELS, x, y, out)
