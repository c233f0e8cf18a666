"""Elementwise operations that round more than once."""

from __future__ import annotations

from samebits.numerics.oracle.binary32 import add, mul


def add_scaled(x: int, y: int, scalar: int) -> int:
    """Return x + scalar * y, rounded twice (N-02)."""
    return add(x, mul(scalar, y))
