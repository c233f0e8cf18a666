"""Dropout, initialisation and sampled tokens (N-21 to N-24) beside torch's; see benchmarks/pairs.py.

python benchmarks/draws.py [--threads 1 2] [--only dropout draws tokens] [--cpu-time]

torch's forward pass draws and stores a mask and its backward pass multiplies by it; ours does the same work twice.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from pairs import Case, matrix, run, same_as_baseline

from samebits.numerics.dropout import dropout
from samebits.numerics.initialisation import kaiming_uniform
from samebits.numerics.random import Purpose, Stream
from samebits.numerics.sampling import Sampling, next_token

STREAM = Stream(42, Purpose.DROPOUT, step=1, sample=2, tensor=3)
ROWS = 512
SCALE = 1 / 0.95


def dropout_cases() -> Iterator[Case]:
    """One sample's activations."""
    for n in (768, 1024, 4096):
        x, out = matrix(ROWS, n), matrix(ROWS, n)
        tx = torch.from_numpy(x)
        mask = torch.rand(ROWS, n) < 0.95
        check = same_as_baseline(dropout(x, 0.05, STREAM), lambda x=x: dropout(x, 0.05, STREAM))
        yield Case(
            f"dropout T={ROWS} D={n}",
            ROWS * n,
            lambda x=x, out=out: dropout(x, 0.05, STREAM, out=out),
            lambda tx=tx: torch.dropout(tx, 0.05, True),
            check,
        )
        yield Case(
            f"dropout, backward alone T={ROWS} D={n}",
            ROWS * n,
            lambda x=x, out=out: dropout(x, 0.05, STREAM, out=out),
            lambda tx=tx, mask=mask: torch.ops.aten.native_dropout_backward(tx, mask, SCALE),
            check,
        )
        yield Case(
            f"dropout, forward and backward T={ROWS} D={n}",
            2 * ROWS * n,
            lambda x=x, out=out: (dropout(x, 0.05, STREAM, out=out), dropout(x, 0.05, STREAM, out=out)),
            lambda tx=tx: torch.ops.aten.native_dropout_backward(
                tx, torch.ops.aten.native_dropout(tx, 0.05, True)[1], SCALE
            ),
            check,
        )


def draw_cases() -> Iterator[Case]:
    """LoRA's A."""
    tensor = torch.empty(16, 4096)
    yield Case(
        "kaiming_uniform R=16 D=4096",
        16 * 4096,
        lambda: kaiming_uniform(16, 4096, STREAM),
        lambda: torch.nn.init.kaiming_uniform_(tensor, a=5**0.5),
        same_as_baseline(kaiming_uniform(16, 4096, STREAM), lambda: kaiming_uniform(16, 4096, STREAM)),
    )


def token_cases() -> Iterator[Case]:
    """One token out of GPT-2's vocabulary; torch's side is softmax and multinomial, after topk where there is one."""
    logits = matrix(1, 50257)[0] * 4
    tlogits = torch.from_numpy(logits)

    def plain() -> torch.Tensor:
        return torch.multinomial(torch.softmax(tlogits / 0.8, 0), 1)

    def with_top_k() -> torch.Tensor:
        values, tokens = torch.topk(tlogits / 0.8, 50)
        return tokens[torch.multinomial(torch.softmax(values, 0), 1)]

    for name, sampling, theirs in (
        ("temperature", Sampling(0.8), plain),
        ("temperature, top-k 50", Sampling(0.8, top_k=50), with_top_k),
    ):

        def ours(sampling: Sampling = sampling) -> int:
            return next_token(logits, sampling, STREAM, position=7)

        check = same_as_baseline(np.float32([ours()]), lambda ours=ours: np.float32([ours()]))
        yield Case(f"next_token V=50257 {name}", logits.size, ours, theirs, check)


GROUPS = {"dropout": dropout_cases, "draws": draw_cases, "tokens": token_cases}


if __name__ == "__main__":
    run(GROUPS)
