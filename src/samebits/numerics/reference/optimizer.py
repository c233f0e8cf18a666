"""The gradient's norm and AdamW (N-13)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from samebits.numerics.oracle import optimizer as oracle
from samebits.numerics.oracle.binary32 import ONE, div
from samebits.numerics.oracle.reductions import dot
from samebits.numerics.reference.memory import INDEX, pattern, put, vector

N_SCALARS = 9


def gradient_norm(n_tensors: int, starts: int, gradient: int, divisor: float, squares: int, norm: int, _: int) -> int:
    """Divide the gradient in place, and write the square of each tensor's length and the length of all."""
    ends = vector(starts, n_tensors + 1, INDEX).tolist()
    place = vector(gradient, ends[-1])
    if (n_targets := pattern(divisor)) != ONE:
        put(place, [div(element, n_targets) for element in place.tolist()])
    elements = place.tolist()
    tensors = [elements[start:stop] for start, stop in pairwise(ends)]
    put(vector(squares, n_tensors), [dot(tensor, tensor) for tensor in tensors])
    put(vector(norm, 1), [oracle.norm(tensors)])
    return 0


def adamw(n: int, parameter: int, gradient: int, mean: int, square: int, scalars: int, _: int) -> int:
    """Make one update in place."""
    of_step = vector(scalars, N_SCALARS).tolist()
    columns = [vector(address, n).tolist() for address in (parameter, gradient, mean, square)]
    updated = [oracle.adamw(p, g, m, v, of_step) for p, g, m, v in zip(*columns, strict=True)]
    for i, address in enumerate((parameter, mean, square)):
        put(vector(address, n), [element[i] for element in updated])
    return 0


KERNELS: dict[str, Callable[..., int]] = {"sb_gradient_norm_f32": gradient_norm, "sb_adamw_f32": adamw}
