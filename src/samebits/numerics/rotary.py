"""Rotary position embedding (N-20): tables of angles by fixed operations, and their application in both directions.

A head's number c is paired with c + D / 2, as in the Llama family of transformers.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from samebits.errors import NumericsError
from samebits.numerics import functions, library, products
from samebits.numerics.arrays import (
    F32,
    check_apart,
    check_f32,
    check_shape,
    check_writable,
    heads,
    pointer,
    row_stride,
)
from samebits.numerics.host_scalars import Enclosure, decimal_of, nearest_f32, rational_power, settled
from samebits.numerics.observation import observed

# Float32 holds every whole number up to this one.
POSITION_LIMIT = 2**24
# pi lies between these; 66 digits settle the rounding of a float32 but in a case that would end in an error.
_PI_DIGITS = 314159265358979323846264338327950288419716939937510582097494459230
_PI = (Fraction(_PI_DIGITS, 10**65), Fraction(_PI_DIGITS + 1, 10**65))


@dataclass(frozen=True)
class LinearScaling:
    """Frequencies divided by `factor`, so that positions count for less (N-20)."""

    factor: float


@dataclass(frozen=True)
class Llama3Scaling:
    """Low frequencies divided by `factor`, high ones kept, those between blended, as Llama 3.1 does (N-20).

    Args:
        low_freq_factor: waves that fit fewer times than this into `original_positions` are divided.
        high_freq_factor: waves that fit more times than this are kept.
        original_positions: the length that the base was first trained for.
    """

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_positions: int


def inverse_frequencies(d: int, theta: float, scaling: LinearScaling | Llama3Scaling | None = None) -> F32:
    """Return the angle of each pair at position 1.

    Bits: N-20: each is the float32 nearest to theta ** (-2 i / d); scaled, the one nearest to what scaling makes of it.

    Args:
        d: width of a head, even.
        theta: the base of the powers, at least 1, as its shortest decimal form says it.
        scaling: of the frequencies; None: none.
    Returns:
        [d / 2] float32, newly allocated.
    Raises:
        NumericsError: `d`, `theta` or `scaling` does not fit.
    Source: Su et al., arXiv:2104.09864; scaling: `transformers`, modeling_rope_utils.
    """
    where = "inverse_frequencies, N-20"
    if d < 2 or d % 2:
        raise NumericsError("the width of a head must be even to be rotated", got=str(d), where=where)
    exact = decimal_of(theta)
    if exact < 1:
        raise NumericsError("`theta` must be 1 or more", got=repr(theta), where=where)
    plain = [_power(1 / exact, Fraction(2 * i, d)) for i in range(d // 2)]
    return np.array([_scaled(frequency, scaling, where) for frequency in plain], dtype=np.float32)


def tables(n_positions: int, frequencies: F32) -> tuple[F32, F32]:
    """Return cosines and sines of the angles at positions 0 to `n_positions` - 1.

    Bits: N-20: angle = position * frequency, rounded once; cosine and sine of N-08.

    Args:
        n_positions: at most 2 ** 24.
        frequencies: [D / 2] float32, contiguous.
    Returns:
        Two arrays [n_positions, D / 2] float32, newly allocated.
    Raises:
        NumericsError: an argument does not fit.
    """
    where = "tables, N-20"
    check_f32("frequencies", frequencies, n_dims=1, where=where)
    if not 0 <= n_positions <= POSITION_LIMIT:
        raise NumericsError("positions must be from 0 to 2^24", got=str(n_positions), where=where)
    positions = np.arange(n_positions, dtype=np.float32)
    angles = products.mm(positions[:, None], frequencies[None])
    return functions.cos(angles), functions.sin(angles)


@observed()
def rotate(x: F32, cos: F32, sin: F32, *, out: F32 | None = None) -> F32:
    """Return each pair of numbers turned by its row's angle.

    Bits: N-20.

    Args:
        x: [n, heads, D] float32, heads contiguous, rows and heads any distance apart; modified only as `out`.
        cos: [n, D / 2] float32, the rows of `tables` at x's positions; rows contiguous.
        sin: likewise, as far apart.
        out: like `x`; it may be `x`.
    Returns:
        `out`, or [n, heads, D] newly allocated.
    Raises:
        NumericsError: dtype, shape or strides do not fit, or `out` overlaps an operand.
    """
    return _apply("rotate", x, cos, sin, out, backward=False)


@observed()
def rotate_backward(dout: F32, cos: F32, sin: F32, *, out: F32 | None = None) -> F32:
    """Return the gradient of what `rotate` turned: its own gradient, turned by the negative angle.

    Bits: N-20. Arguments are those of `rotate`.
    """
    return _apply("rotate_backward", dout, cos, sin, out, backward=True)


def _power(base: Fraction, exponent: Fraction) -> float:
    if exponent == 0:
        return 1.0
    return settled(lambda bits: rational_power(base, exponent, bits), nearest_f32)


def _scaled(frequency: float, scaling: LinearScaling | Llama3Scaling | None, where: str) -> float:
    if scaling is None:
        return frequency
    exact, factor = Fraction(frequency), decimal_of(scaling.factor)
    if factor < 1:
        raise NumericsError("`factor` must be 1 or more", got=repr(scaling.factor), where=where)
    if isinstance(scaling, LinearScaling):
        return nearest_f32(exact / factor)
    low, high = decimal_of(scaling.low_freq_factor), decimal_of(scaling.high_freq_factor)
    if not 0 < low < high:
        got = f"{scaling.low_freq_factor!r} and {scaling.high_freq_factor!r}"
        raise NumericsError("frequency factors must be above 0 and ascend", got=got, where=where)

    def enclose(_: int) -> Enclosure:
        ends = []
        for pi in reversed(_PI):
            waves = scaling.original_positions * exact / (2 * pi)
            kept = min(max((waves - low) / (high - low), Fraction(0)), Fraction(1))
            ends.append(exact * ((1 - kept) / factor + kept))
        return ends[0], ends[1]

    return settled(enclose, nearest_f32)


def _apply(name: str, x: F32, cos: F32, sin: F32, out: F32 | None, *, backward: bool) -> F32:
    where = f"{name}, N-20"
    check_f32("x", x, n_dims=3, where=where)
    n, n_heads, d = x.shape
    if d % 2:
        raise NumericsError("the width of a head must be even to be rotated", got=str(d), where=where)
    for label, table in (("cos", cos), ("sin", sin)):
        check_f32(label, table, n_dims=2, where=where)
        check_shape(label, table, (n, d // 2), where=where)
    if out is None:
        out = np.empty(x.shape, dtype=np.float32)
    else:
        _check_output(x, cos, sin, out, where)
    table_row = row_stride("cos", cos, where=where)
    if row_stride("sin", sin, where=where) != table_row:
        raise NumericsError("the rows of `cos` and `sin` must be equally far apart", where=where)
    sizes, tables_at = (n, n_heads, d // 2), (pointer(cos), pointer(sin), table_row)
    operands = (*heads("x", x, where=where), *tables_at, int(backward), *heads("out", out, where=where))
    library.loaded().call("sb_rotary_f32", *sizes, *operands, library.threads())
    return out


def _check_output(x: F32, cos: F32, sin: F32, out: F32, where: str) -> None:
    check_f32("out", out, n_dims=3, where=where)
    check_shape("out", out, x.shape, where=where)
    check_writable("out", out, where=where)
    check_apart("out", out, "cos", cos, where=where)
    check_apart("out", out, "sin", sin, where=where)
    if pointer(out) != pointer(x) or out.strides != x.strides:
        check_apart("out", out, "x", x, where=where)
