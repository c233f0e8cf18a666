"""Initial values of LoRA's matrices (N-22): A as PEFT draws it, from a stream; B is zero."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.arrays import F32, pointer
from samebits.numerics.host_scalars import nearest_f32, settled, square_root
from samebits.numerics.observation import observed
from samebits.numerics.random import Stream, check_elements


@observed()
def kaiming_uniform(rows: int, fan_in: int, stream: Stream) -> F32:
    """Draw a matrix from the uniform distribution on [-b, b), b = 1 / sqrt(fan_in).

    Bits: N-22. It is kaiming-uniform with a = sqrt(5), the form of PEFT and of a linear layer.

    Args:
        rows: of the matrix; its columns are `fan_in`, 1 or more.
    Returns:
        [rows, fan_in] float32, newly allocated.
    Raises:
        NumericsError: a size does not fit.
    """
    where = "kaiming_uniform, N-22"
    if rows < 0 or fan_in < 1:
        raise NumericsError("a matrix must have a column at least", got=f"[{rows}, {fan_in}]", where=where)
    check_elements(0, rows * fan_in, where=where)
    out = np.empty((rows, fan_in), dtype=np.float32)
    arguments = (out.size, stream.address, 0, kaiming_bound(fan_in), pointer(out), library.threads())
    library.loaded().call("sb_uniform_f32", *arguments)
    return out


@lru_cache
def kaiming_bound(fan_in: int) -> float:
    """Return the float32 nearest to 1 / sqrt(fan_in)."""
    exact = (Fraction(1, fan_in), Fraction(1, fan_in))
    return settled(lambda bits: square_root(exact, bits), nearest_f32)
