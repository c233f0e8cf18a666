"""From the summed gradient of a batch to the next parameters (N-13): mean, norm, clipping and AdamW.

The trainable tensors lie in one buffer, one after another in the order of their sorted names: `FlatTensors`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate, pairwise

import numpy as np

from samebits.errors import NonFiniteError, NumericsError
from samebits.numerics import library
from samebits.numerics.arrays import F32, check_contiguous, check_f32, check_shape, check_writable, pointer
from samebits.numerics.host_scalars import (
    Enclosure,
    decimal_of,
    integer_power,
    nearest_f32,
    settled,
    square_root,
)
from samebits.numerics.observation import observed

# Added to the norm before it divides, as torch does.
NORM_EPSILON = Fraction(1, 10**6)
N_SCALARS = 9


class FlatTensors:
    """Where each tensor lies in one float32 buffer: sorted by name, without gaps.

    Args:
        shapes: by name.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = {name: tuple(shapes[name]) for name in sorted(shapes)}
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        self.starts = np.array([0, *accumulate(sizes)], dtype=np.int64)
        self.size = int(self.starts[-1])

    def views(self, flat: F32) -> dict[str, F32]:
        """Return each tensor as a view of a buffer of `size` elements."""
        check_flat("flat", flat, self.size, where="N-13")
        spans = pairwise(self.starts.tolist())
        return {
            name: flat[a:b].reshape(shape) for (name, shape), (a, b) in zip(self.shapes.items(), spans, strict=True)
        }


@dataclass(frozen=True)
class AdamW:
    """AdamW's settings, each the rational number that its shortest decimal form writes."""

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        for name, least, end in (("beta1", 0, 1), ("beta2", 0, 1), ("eps", 0, math.inf), ("weight_decay", 0, math.inf)):
            if not least <= getattr(self, name) < end:
                must = f"`{name}` must be from {least} to below {end}"
                raise NumericsError(must, got=repr(getattr(self, name)), where="N-13")


@observed("gradient")
def gradient_norm(gradient: F32, tensors: FlatTensors, *, n_targets: int = 1) -> float:
    """Divide the summed gradient by the number of target tokens, in place, and return the mean gradient's length.

    Bits: N-13; the result is a float32 value.

    Args:
        gradient: [tensors.size] float32; replaced by the mean, as it is for 1 target.
    Raises:
        NumericsError: dtype or shape does not fit, or there are no targets.
    """
    where = "gradient_norm, N-13"
    check_flat("gradient", gradient, tensors.size, where=where)
    if n_targets < 1:
        raise NumericsError("a batch must have a target token", got=str(n_targets), where=where)
    n_tensors = len(tensors.shapes)
    scratch = np.empty(n_tensors + 1, dtype=np.float32)
    squares = pointer(scratch)
    pointers = (tensors.starts.__array_interface__["data"][0], pointer(gradient))
    outputs = (squares, squares + 4 * n_tensors, library.threads())
    divisor = nearest_f32(Fraction(n_targets))
    library.loaded().call("sb_gradient_norm_f32", n_tensors, *pointers, divisor, *outputs)
    return float(scratch[n_tensors])


def clip_factor(norm: float, max_norm: float) -> float:
    """Return what the gradient is multiplied by so that it is no longer than `max_norm`: a float32 value, at most 1.

    Bits: N-13.

    Args:
        norm: as `gradient_norm` returns it.
        max_norm: 0 switches clipping off.
    Raises:
        NonFiniteError: the norm is infinite or NaN.
    """
    if not math.isfinite(norm):
        raise NonFiniteError("the gradient's norm must be finite", got=str(norm), where="N-13")
    if max_norm == 0:
        return 1.0
    longest = Fraction(nearest_f32(decimal_of(max_norm)))
    divisor = nearest_f32(Fraction(norm) + Fraction(nearest_f32(NORM_EPSILON)))
    return min(1.0, nearest_f32(longest / Fraction(divisor)))


def adamw_scalars(settings: AdamW, *, learning_rate: float, step: int, clip: float = 1.0) -> F32:
    """Return the nine scalars of one update, each the float32 nearest to its true value.

    Bits: N-13.

    Args:
        learning_rate: a binary64 number, taken exactly as it is.
        step: updates made before this one.
        clip: a float32 value.
    Returns:
        [9] float32: clip, beta1, 1 - beta1, beta2, 1 - beta2, 1 / sqrt(1 - beta2^t), eps, 1 - rate * decay and
        rate / (1 - beta1^t), where t = step + 1.
    """
    beta1, beta2, weight_decay, constants = _constants(settings)
    rate, t = Fraction(learning_rate), step + 1

    def correction2(bits: int) -> Enclosure:
        low, high = square_root(_one_minus(integer_power(beta2, t, bits)), bits)
        return 1 / high, 1 / low

    def step_size(bits: int) -> Enclosure:
        low, high = _one_minus(integer_power(beta1, t, bits))
        return rate / high, rate / low

    *of_betas, eps = constants
    keep = nearest_f32(1 - rate * weight_decay)
    corrections = settled(correction2, nearest_f32), settled(step_size, nearest_f32)
    return np.array([clip, *of_betas, corrections[0], eps, keep, corrections[1]], dtype=np.float32)


@lru_cache
def _constants(settings: AdamW) -> tuple[Fraction, Fraction, Fraction, tuple[float, ...]]:
    """Return beta1, beta2, weight decay, and the float32 of beta1, 1 - beta1, beta2, 1 - beta2 and eps."""
    beta1, beta2 = decimal_of(settings.beta1), decimal_of(settings.beta2)
    exact = (beta1, 1 - beta1, beta2, 1 - beta2, decimal_of(settings.eps))
    return beta1, beta2, decimal_of(settings.weight_decay), tuple(map(nearest_f32, exact))


def _one_minus(power: Enclosure) -> Enclosure:
    return 1 - power[1], 1 - power[0]


@observed("parameter", "mean", "square")
def adamw(parameter: F32, gradient: F32, mean: F32, square: F32, scalars: F32) -> None:
    """Make one update of AdamW, in place.

    Bits: N-13.

    Args:
        parameter: float32, C-contiguous; replaced.
        gradient: like `parameter`, the mean gradient before clipping; not modified.
        mean: like `parameter`: the running mean of gradients; replaced.
        square: like `parameter`: the running mean of their squares; replaced.
        scalars: of `adamw_scalars`.
    Raises:
        NumericsError: dtype, shape or strides do not fit.
    Source: Loshchilov & Hutter, arXiv:1711.05101.
    """
    where = "adamw, N-13"
    arrays = {"parameter": parameter, "gradient": gradient, "mean": mean, "square": square}
    for name, array in arrays.items():
        check_f32(name, array, n_dims=None, where=where)
        check_shape(name, array, parameter.shape, where=where)
        check_contiguous(name, array, where=where)
        if name != "gradient":
            check_writable(name, array, where=where)
    check_flat("scalars", scalars, N_SCALARS, where=where)
    addresses = [pointer(array) for array in arrays.values()]
    n_bytes = parameter.nbytes
    if any(b - a < n_bytes for a, b in pairwise(sorted(addresses))):
        raise NumericsError("the four arrays of an update must lie apart", where=where)
    library.loaded().call("sb_adamw_f32", parameter.size, *addresses, pointer(scalars), library.threads())


def check_flat(name: str, array: F32, size: int, *, where: str) -> None:
    """Refuse what is not a contiguous, writable float32 vector of `size` elements."""
    check_f32(name, array, n_dims=1, where=where)
    check_shape(name, array, (size,), where=where)
    check_contiguous(name, array, where=where)
    check_writable(name, array, where=where)
