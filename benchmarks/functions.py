"""Functions (N-08) and powers (N-15) beside torch's; see benchmarks/pairs.py for how they are timed and printed.

python benchmarks/functions.py [--threads 1 2] [--only forward backward powers] [--cpu-time]

An "operation" is one element here: the columns of GF/s are billions of elements, and our part of the fma peak means
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from pairs import Case, matrix, run, same_as_baseline

from samebits.numerics import functions, powers
from samebits.numerics.arrays import F32

SHAPES = ((64, 1024), (512, 1024), (512, 4096))
aten = torch.ops.aten
Forward = tuple[Callable[..., F32], Callable[..., object]]
FORWARD: dict[str, Forward] = {
    "exp": (functions.exp, torch.exp),
    "log": (functions.log, torch.log),
    "sin": (functions.sin, torch.sin),
    "cos": (functions.cos, torch.cos),
    "tanh": (functions.tanh, torch.tanh),
    "erf": (functions.erf, torch.erf),
    "sigmoid": (functions.sigmoid, torch.sigmoid),
    "silu": (functions.silu, aten.silu.out),
    "gelu": (functions.gelu, aten.gelu.out),
    "gelu_tanh": (
        lambda x, out: functions.gelu(x, approximate="tanh", out=out),
        lambda x, out: aten.gelu.out(x, approximate="tanh", out=out),
    ),
    "relu": (functions.relu, aten.relu.out),
}
BACKWARD: dict[str, Forward] = {
    "tanh_backward": (functions.tanh_backward, aten.tanh_backward.grad_input),
    "sigmoid_backward": (functions.sigmoid_backward, aten.sigmoid_backward.grad_input),
    "silu_backward": (functions.silu_backward, aten.silu_backward.grad_input),
    "gelu_backward": (functions.gelu_backward, aten.gelu_backward.grad_input),
    "gelu_tanh_backward": (
        lambda d, x, out: functions.gelu_backward(d, x, approximate="tanh", out=out),
        lambda d, x, grad_input: aten.gelu_backward.grad_input(d, x, approximate="tanh", grad_input=grad_input),
    ),
    "threshold_backward": (
        lambda d, x, out: functions.threshold_backward(d, x, 0.0, out=out),
        lambda d, x, grad_input: aten.threshold_backward.grad_input(d, x, 0.0, grad_input=grad_input),
    ),
}
POWERS: dict[str, Forward] = {
    "pow 2.5": (lambda x, out: powers.pow(x, 2.5, out=out), lambda x, out: torch.pow(x, 2.5, out=out)),
    "pow 2": (lambda x, out: powers.pow(x, 2.0, out=out), lambda x, out: torch.pow(x, 2, out=out)),
    "rsqrt": (powers.rsqrt, torch.rsqrt),
    "reciprocal": (powers.reciprocal, torch.reciprocal),
}


def forward_cases() -> Iterator[Case]:
    """Normal numbers, as activations are; sizes for the logarithm."""
    for name, (ours, theirs) in FORWARD.items():
        for shape in SHAPES:
            x = matrix(*shape)
            yield case_of(f"{name} {shape}", np.abs(x) if name == "log" else x, ours, theirs)


def backward_cases() -> Iterator[Case]:
    """Gradients from the output's and from inputs or outputs."""
    for name, (ours, theirs) in BACKWARD.items():
        for shape in SHAPES:
            d, x, out = matrix(*shape, seed=1), matrix(*shape), matrix(*shape)
            td, tx, tout = torch.from_numpy(d), torch.from_numpy(x), torch.from_numpy(matrix(*shape))
            yield Case(
                f"{name} {shape}",
                x.size,
                lambda ours=ours, d=d, x=x, out=out: ours(d, x, out=out),
                lambda theirs=theirs, td=td, tx=tx, tout=tout: theirs(td, tx, grad_input=tout),
                same_as_baseline(
                    ours(d, x, out=matrix(*shape)), lambda ours=ours, d=d, x=x: ours(d, x, out=matrix(*x.shape))
                ),
            )


def power_cases() -> Iterator[Case]:
    """Positive bases; norms of rows."""
    for name, (ours, theirs) in POWERS.items():
        for shape in SHAPES:
            yield case_of(f"{name} {shape}", np.abs(matrix(*shape)), ours, theirs)
    for shape in SHAPES:
        x = matrix(*shape)
        tx = torch.from_numpy(x)
        yield Case(
            f"vector_norm {shape}",
            x.size,
            lambda x=x: powers.vector_norm(x),
            lambda tx=tx: torch.linalg.vector_norm(tx, dim=-1),
            same_as_baseline(powers.vector_norm(x), lambda x=x: powers.vector_norm(x)),
        )


def case_of(name: str, x: F32, ours: Callable[..., F32], theirs: Callable[..., object]) -> Case:
    """Return the case of one function of x, both into an array that is there already."""
    out, tx, tout = matrix(*x.shape), torch.from_numpy(x), torch.from_numpy(matrix(*x.shape))
    return Case(
        name,
        x.size,
        lambda: ours(x, out=out),
        lambda: theirs(tx, out=tout),
        same_as_baseline(ours(x, out=matrix(*x.shape)), lambda: ours(x, out=matrix(*x.shape))),
    )


GROUPS = {"forward": forward_cases, "backward": backward_cases, "powers": power_cases}


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    run(GROUPS)
