"""Functions of one float32 array, element by element (N-08).

Operands are float32, C-contiguous and of one shape; `out` may be one of them.
"""

from __future__ import annotations

import numpy as np

from samebits.numerics import library
from samebits.numerics.arrays import F32, check_f32, pointer


def exp(x: F32, *, out: F32 | None = None) -> F32:
    """Return e to the power of x (N-08)."""
    return _apply("exp", x, out)


def log(x: F32, *, out: F32 | None = None) -> F32:
    """Return the natural logarithm of x (N-08)."""
    return _apply("log", x, out)


def sin(x: F32, *, out: F32 | None = None) -> F32:
    """Return the sine of x radians (N-08)."""
    return _apply("sin", x, out)


def cos(x: F32, *, out: F32 | None = None) -> F32:
    """Return the cosine of x radians (N-08)."""
    return _apply("cos", x, out)


def _apply(name: str, x: F32, out: F32 | None) -> F32:
    check_f32("x", x, n_dims=None, where=f"{name}, N-08")
    if out is None:
        out = np.empty(x.shape, dtype=np.float32)
    library.loaded().call(f"sb_{name}_f32", x.size, pointer(x), pointer(out), library.threads())
    return out
