"""Softmax and cross-entropy (N-19) beside torch's; see benchmarks/pairs.py for how they are timed and what is printed.

python benchmarks/softmax.py [--threads 1 2] [--only softmax log_softmax cross_entropy] [--cpu-time]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from pairs import Case, matrix, run, same_as_baseline
from torch.nn import functional

from samebits.numerics import losses, softmax
from samebits.numerics.arrays import F32

SHAPES = [(512, 512), (2048, 1024), (128, 50257)]
LOSS_SHAPES = [(512, 512), (128, 50257)]
aten = torch.ops.aten


def softmax_cases() -> Iterator[Case]:
    """Softmax, forward and backward."""
    yield from cases("softmax", softmax.softmax, softmax.softmax_backward, aten._softmax, aten._softmax_backward_data)


def log_softmax_cases() -> Iterator[Case]:
    """Log-softmax, forward and backward."""
    theirs = (aten._log_softmax, aten._log_softmax_backward_data)
    yield from cases("log_softmax", softmax.log_softmax, softmax.log_softmax_backward, *theirs)


def cases(
    name: str,
    forward: Callable[..., F32],
    backward: Callable[..., F32],
    their_forward: Callable[..., object],
    their_backward: Callable[..., object],
) -> Iterator[Case]:
    """Return the cases of one function over rows."""
    for rows, n in SHAPES:
        x, dy, out = matrix(rows, n), matrix(rows, n, seed=1), matrix(rows, n)
        y = forward(x)
        tx, tdy, ty, tout = map(torch.from_numpy, (x, dy, y, matrix(rows, n)))
        yield Case(
            f"{name} {rows}x{n}",
            rows * n,
            lambda x=x, out=out: forward(x, out=out),
            lambda tx=tx, tout=tout: their_forward(tx, -1, False, out=tout),
            same_as_baseline(y[:5], lambda x=x: forward(x[:5])),
        )
        yield Case(
            f"{name}_backward {rows}x{n}",
            rows * n,
            lambda dy=dy, y=y, out=out: backward(dy, y, out=out),
            lambda a=(tdy, ty, -1, torch.float32): their_backward(*a),
            same_as_baseline(backward(dy, y)[:5], lambda dy=dy, y=y: backward(dy[:5], y[:5])),
        )


def cross_entropy_cases() -> Iterator[Case]:
    """The loss alone; loss and gradient, ours in one call, torch's by autograd. An eighth has no target."""
    for rows, n in LOSS_SHAPES:
        logits, out = matrix(rows, n), matrix(rows, n)
        targets = np.random.default_rng(rows).integers(0, n, rows)
        targets[::8] = losses.NO_TARGET
        tlogits, ttargets = torch.from_numpy(logits), torch.from_numpy(targets)
        leaf = torch.from_numpy(logits.copy()).requires_grad_()

        def theirs(leaf: torch.Tensor = leaf, ttargets: torch.Tensor = ttargets) -> object:
            leaf.grad = None
            return functional.cross_entropy(leaf, ttargets, reduction="sum").backward()

        yield Case(
            f"cross_entropy {rows}x{n}",
            rows * n,
            lambda logits=logits, targets=targets: losses.cross_entropy(logits, targets),
            lambda a=(tlogits, ttargets): functional.cross_entropy(*a, reduction="none"),
            same_as_baseline(
                losses.cross_entropy(logits, targets)[:5],
                lambda logits=logits, targets=targets: losses.cross_entropy(logits[:5], targets[:5]),
            ),
        )
        check = same_as_baseline(
            losses.cross_entropy_backward(logits, targets)[1][:5],
            lambda logits=logits, targets=targets: losses.cross_entropy_backward(logits[:5], targets[:5])[1],
        )
        # In place the gradient of one call is the logits of the next: other numbers, the same work.
        for place, source in (("", logits), (" in place", out)):
            yield Case(
                f"cross_entropy_backward {rows}x{n}{place}",
                rows * n,
                lambda source=source, targets=targets, out=out: losses.cross_entropy_backward(source, targets, out=out),
                theirs,
                check,
            )


GROUPS = {"softmax": softmax_cases, "log_softmax": log_softmax_cases, "cross_entropy": cross_entropy_cases}


if __name__ == "__main__":
    run(GROUPS)
