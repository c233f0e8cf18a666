"""Matrix products (N-04) beside torch's; see benchmarks/pairs.py for how they are timed and what is printed.

python benchmarks/products.py [--threads 1 2] [--only linear backward plain thin] [--cpu-time]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from pairs import Case, matrix, run, same_as_baseline

from samebits.numerics import products
from samebits.numerics.arrays import F32

SAMPLE_ROWS = 5
WEIGHTS = [(1024, 3072), (1024, 1024), (1024, 4096), (4096, 1024)]


def against_baseline(actual: F32, a: F32, b: F32, onto: F32 | None = None) -> Callable[[], None]:
    """Return a check of the first rows against the plainest library's plain product."""
    rows = slice(0, SAMPLE_ROWS)

    def compute() -> F32:
        out = None if onto is None else onto[rows].copy()
        return products.mm(a[rows], b, out=out, accumulate=onto is not None)

    return same_as_baseline(actual[rows], compute)


def linear_cases() -> Iterator[Case]:
    """Frozen weights, packed once."""
    for k, n in WEIGHTS:
        weight, theirs_weight = matrix(n, k), torch.from_numpy(matrix(n, k))
        packed = products.pack(weight, layout="nk")
        for m in (1, 16, 128, 512, 2048):
            x, out = matrix(m, k, seed=1), matrix(m, n)
            tx, tout = torch.from_numpy(x), torch.from_numpy(matrix(m, n))
            yield Case(
                f"linear K={k} N={n} M={m}",
                2 * m * n * k,
                lambda x=x, packed=packed, out=out: products.linear(x, packed, out=out),
                lambda tx=tx, w=theirs_weight, tout=tout: torch.mm(tx, w.t(), out=tout),
                against_baseline(products.linear(x, packed), x, weight.T),
            )


def plain_cases() -> Iterator[Case]:
    """Two plain arrays: as in dX = dY W without a packed weight."""
    for k, n in ((1024, 1024), (3072, 1024)):
        for m in (16, 128, 512, 2048):
            a, b = matrix(m, k, seed=1), matrix(k, n)
            yield case_of(f"plain K={k} N={n} M={m}", a, b)


def backward_cases() -> Iterator[Case]:
    """The gradient of a frozen layer's input, from the panels that its forward product uses."""
    for n, k in WEIGHTS:
        weight = matrix(k, n)
        theirs_weight, packed = torch.from_numpy(weight), products.pack(weight, layout="nk")
        for m in (16, 128, 512, 2048):
            dy, out = matrix(m, k, seed=1), matrix(m, n)
            tdy, tout = torch.from_numpy(dy), torch.from_numpy(matrix(m, n))
            yield Case(
                f"backward K={n} N={k} M={m}",
                2 * m * n * k,
                lambda dy=dy, packed=packed, out=out: products.linear_backward(dy, packed, out=out),
                lambda tdy=tdy, w=theirs_weight, tout=tout: torch.mm(tdy, w, out=tout),
                against_baseline(products.linear_backward(dy, packed), dy, weight),
            )


def thin_cases() -> Iterator[Case]:
    """LoRA's products: T tokens, rank R, width K in and N out."""
    k, n = 1024, 3072
    for t in (64, 333, 1024):
        for r in (8, 16, 32):
            x, dy, h, dh = (matrix(t, width, seed=2) for width in (k, n, r, r))
            lora_a, lora_b = matrix(r, k, seed=3), matrix(n, r, seed=3)
            yield case_of(f"thin T={t} R={r} H = X A^T", x, lora_a.T)
            yield case_of(f"thin T={t} R={r} Y += H B^T", h, lora_b.T, onto=matrix(t, n))
            yield case_of(f"thin T={t} R={r} dH = dY B", dy, lora_b)
            yield case_of(f"thin T={t} R={r} dA = dH^T X", dh.T, x)
            yield case_of(f"thin T={t} R={r} dB = dY^T H", dy.T, h)
            yield case_of(f"thin T={t} R={r} dX += dH A", dh, lora_a, onto=matrix(t, k))


def case_of(name: str, a: F32, b: F32, onto: F32 | None = None) -> Case:
    """Return the case of one plain product, added to `onto` where it is given."""
    shape = (a.shape[0], b.shape[1])
    out = matrix(*shape)
    ta, tb, tout = torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(matrix(*shape))
    start = None if onto is None else onto.copy()
    return Case(
        name,
        2 * a.shape[0] * a.shape[1] * b.shape[1],
        lambda: products.mm(a, b, out=out, accumulate=onto is not None),
        (lambda: torch.mm(ta, tb, out=tout)) if onto is None else (lambda: tout.addmm_(ta, tb)),
        against_baseline(products.mm(a, b, out=start, accumulate=onto is not None), a, b, onto),
    )


GROUPS = {"linear": linear_cases, "backward": backward_cases, "plain": plain_cases, "thin": thin_cases}


if __name__ == "__main__":
    run(GROUPS)
