"""Measure the largest error of each function of N-08 and N-15 against binary64, in ULP of the exact result.

python tools/measure_functions.py [NAME ...] [--stride N]

Every float32 x with 2^-26 <= |x| < 2^8 (below, the functions are their first terms; above, most are constant) and every
61st beside; sin, cos and log: every finite float32. pow: the same x > 0, each with one y that makes a result between
2^-150 and 2^128, spread by a hash of x's bits. --stride N takes every Nth of all of them. The reference rounds as well,
to 2^-53: it counts for nothing here. A result among the subnormals is measured in 2^-149. ops.py holds the results,
rounded up; the specification's table is checked against it. Of gradients that cross 0, for a gradient of 1 at the
output: the error in 2^-24.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from samebits.numerics import functions, powers
from samebits.numerics.arrays import F32

F64 = np.ndarray[Any, np.dtype[np.float64]]
CHUNK = 1 << 20
DENSE = (0x32800000, 0x43800000)  # 2^-26 and 2^8
SPARSE_STEP = 61
INFINITY = 0x7F800000


def _by_torch(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[F64], F64]:
    def of_array(x: F64) -> F64:
        result: F64 = function(torch.from_numpy(x)).numpy()
        return result

    return of_array


def _gelu(x: F64) -> F64:
    return 0.5 * x * _by_torch(torch.special.erfc)(x * -math.sqrt(0.5))


_GELU_C = 2 * math.sqrt(2 / math.pi)


def _gelu_y(x: F64) -> F64:
    return _GELU_C * (x + 0.044715 * x**3)


def _gelu_slope(x: F64) -> F64:
    below: F64 = 0.5 * _by_torch(torch.special.erfc)(x * -math.sqrt(0.5))
    density: F64 = np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)
    return below + x * density


def _logistic_slope(y: F64, x: F64, slope_of_y: F64) -> F64:
    s: F64 = 1 / (1 + np.exp(-y))
    rest: F64 = 1 / (1 + np.exp(y))
    return s + x * s * rest * slope_of_y


def _exponents(x: F32) -> F32:
    """Return one y for each x: x^y is 2^-150 to 2^128."""
    hashed = (x.view(np.uint32) * np.uint32(0x9E3779B1) >> np.uint32(8)).astype(np.float64) / 2**24
    return ((hashed * 278 - 150) / np.log2(np.abs(x.astype(np.float64)))).astype(np.float32)


REFERENCES: dict[str, Callable[[F64], F64]] = {
    "exp": np.exp,
    "log": np.log,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "erf": _by_torch(torch.special.erf),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": _gelu,
    "gelu_tanh": lambda x: x / (1 + np.exp(-_gelu_y(x))),
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "pow": lambda x: np.power(x, _exponents(x.astype(np.float32)).astype(np.float64)),
}
SLOPES: dict[str, Callable[[F64], F64]] = {
    "silu_backward": lambda x: _logistic_slope(x, x, np.ones_like(x)),
    "gelu_backward": _gelu_slope,
    "gelu_tanh_backward": lambda x: _logistic_slope(_gelu_y(x), x, _GELU_C * (1 + 3 * 0.044715 * x**2)),
}
EVERYWHERE = ("sin", "cos", "log")
FUNCTIONS: dict[str, Callable[[F32], F32]] = {
    "gelu_tanh": lambda x: functions.gelu(x, approximate="tanh"),
    "rsqrt": powers.rsqrt,
    "pow": lambda x: powers.pow(x, _exponents(x)),
    "silu_backward": lambda x: functions.silu_backward(np.ones_like(x), x),
    "gelu_backward": lambda x: functions.gelu_backward(np.ones_like(x), x),
    "gelu_tanh_backward": lambda x: functions.gelu_backward(np.ones_like(x), x, approximate="tanh"),
}


def errors_ulp(actual: F32, exact: F64) -> F64:
    """Return |actual - exact| in units of the last place of a float32 as large as `exact`; 0 where one is infinite."""
    biased = exact.view(np.int64) >> 52 & 0x7FF
    unit = ((np.maximum(biased, 1023 - 126) - 23) << 52).view(np.float64)
    error: F64 = np.abs(actual - exact) / unit
    return np.where(np.isfinite(error), error, 0.0)


def inputs(name: str, stride: int) -> Iterator[F32]:
    """Yield the inputs in chunks, positive and negative."""
    for sign in (0, 0x80000000):
        for low, high, step in _ranges(name, stride):
            for start in range(low, high, CHUNK * step):
                word = np.arange(start, min(high, start + CHUNK * step), step, dtype=np.uint32)
                yield (word | np.uint32(sign)).view(np.float32)


def _ranges(name: str, stride: int) -> list[tuple[int, int, int]]:
    if name in EVERYWHERE:
        return [(0, INFINITY, stride)]
    low, high = DENSE
    sparse = SPARSE_STEP * stride
    return [(low, high, stride), (0, low, sparse), (high, INFINITY, sparse)]


def measure(name: str, stride: int) -> tuple[float, float, int]:
    """Return the largest error, where it is, and how many inputs were looked at."""
    function = FUNCTIONS.get(name) or getattr(functions, name)
    worst, where, n_seen = 0.0, 0.0, 0
    with np.errstate(all="ignore"):
        for x in inputs(name, stride):
            wide = x.astype(np.float64)
            if name in SLOPES:
                error = np.nan_to_num(np.abs(function(x) - SLOPES[name](wide)) * 2.0**24)
            else:
                error = errors_ulp(function(x), REFERENCES[name](wide))
            at = int(error.argmax())
            n_seen += x.size
            if error[at] > worst:
                worst, where = float(error[at]), float(x[at])
    return worst, where, n_seen


def main() -> None:
    """Print one line per function."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*REFERENCES, *SLOPES, []], metavar="NAME")
    parser.add_argument("--stride", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.names or [*REFERENCES, *SLOPES]:
        worst, where, n_seen = measure(name, arguments.stride)
        unit = "times 2^-24" if name in SLOPES else "ULP"
        print(f"{name:18} {worst:.4f} {unit} at {where.hex()}, {n_seen} inputs", flush=True)


if __name__ == "__main__":
    main()
