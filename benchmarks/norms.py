"""Layer norm and RMS norm (N-18) beside torch's; see benchmarks/pairs.py for how they are timed and what is printed.

python benchmarks/norms.py [--threads 1 2] [--only layer_norm rms_norm] [--cpu-time]
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from pairs import Case, matrix, run, same_as_baseline
from torch.nn import functional

from samebits.numerics import norms
from samebits.numerics.arrays import F32

SHAPES = [(1, 1024), (512, 1024), (512, 4096), (2048, 1024)]
EPS = float(np.float32(1e-5))
aten = torch.ops.aten


def layer_norm_cases() -> Iterator[Case]:
    """Forward; the input's gradient alone, as a frozen norm needs it; the gradients of weight and bias; all three."""
    for t, d in SHAPES:
        x, dy, out = matrix(t, d), matrix(t, d, seed=1), matrix(t, d)
        weight, bias = matrix(1, d)[0], matrix(1, d, seed=1)[0]
        y, mean, rstd = norms.layer_norm(x, weight, bias, eps=EPS)
        tx, tdy, tw, tb, tmean, trstd = map(torch.from_numpy, (x, dy, weight, bias, mean[:, None], rstd[:, None]))
        backward = (tdy, tx, (d,), tmean, trstd, tw, tb)
        yield Case(
            f"layer_norm T={t} D={d}",
            5 * t * d,
            lambda x=x, w=weight, b=bias, out=out: norms.layer_norm(x, w, b, eps=EPS, out=out),
            lambda tx=tx, d=d, tw=tw, tb=tb: aten.native_layer_norm(tx, (d,), tw, tb, EPS),
            same_as_baseline(y, lambda x=x, w=weight, b=bias: norms.layer_norm(x, w, b, eps=EPS)[0]),
        )
        arguments = (dy, x, mean, rstd)
        yield Case(
            f"layer_norm_backward T={t} D={d}",
            8 * t * d,
            lambda a=arguments, w=weight, out=out: norms.layer_norm_backward(*a, w, out=out),
            lambda a=backward: aten.native_layer_norm_backward(*a, [True, False, False]),
            same_as_baseline(
                norms.layer_norm_backward(*arguments, weight),
                lambda a=arguments, w=weight: norms.layer_norm_backward(*a, w),
            ),
        )
        yield Case(
            f"layer_norm_backward_weight T={t} D={d}",
            4 * t * d,
            lambda a=arguments: norms.layer_norm_backward_weight(*a),
            lambda a=backward: aten.native_layer_norm_backward(*a, [False, True, True]),
            same_as_baseline(
                both(*arguments),
                lambda a=arguments: both(*a),
            ),
        )


def both(dy: F32, x: F32, mean: F32, rstd: F32) -> F32:
    """Return the gradients of weight and bias in one array."""
    return np.stack(norms.layer_norm_backward_weight(dy, x, mean, rstd))


def rms_norm_cases() -> Iterator[Case]:
    """Forward beside torch's own; the gradients have no kernel of torch's: its autograd runs their parts."""
    for t, d in SHAPES:
        x, dy, out, weight = matrix(t, d), matrix(t, d, seed=1), matrix(t, d), matrix(1, d)[0]
        y, rstd = norms.rms_norm(x, weight, eps=EPS)
        tx, tdy, tw = (torch.from_numpy(array.copy()) for array in (x, dy, weight))
        yield Case(
            f"rms_norm T={t} D={d}",
            3 * t * d,
            lambda x=x, w=weight, out=out: norms.rms_norm(x, w, eps=EPS, out=out),
            lambda tx=tx, d=d, tw=tw: functional.rms_norm(tx, (d,), tw, EPS),
            same_as_baseline(y, lambda x=x, w=weight: norms.rms_norm(x, w, eps=EPS)[0]),
        )
        for name, operation, wanted in (
            ("rms_norm_backward", lambda a, w: norms.rms_norm_backward(*a, w), "x"),
            ("rms_norm_backward_weight", lambda a, _: norms.rms_norm_backward_weight(*a), "w"),
        ):
            tx.requires_grad_(wanted == "x")
            tw.requires_grad_(wanted == "w")
            ty = functional.rms_norm(tx, (d,), tw, EPS)
            arguments = (dy, x, rstd)
            yield Case(
                f"{name} T={t} D={d}",
                6 * t * d,
                lambda f=operation, a=arguments, w=weight: f(a, w),
                lambda ty=ty, leaf=tx if wanted == "x" else tw, tdy=tdy: torch.autograd.grad(
                    ty, leaf, tdy, retain_graph=True
                ),
                same_as_baseline(operation(arguments, weight), lambda f=operation, a=arguments, w=weight: f(a, w)),
            )


GROUPS = {"layer_norm": layer_norm_cases, "rms_norm": rms_norm_cases}


if __name__ == "__main__":
    run(GROUPS)
