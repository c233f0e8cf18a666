"""Matrix products of bfloat16 (N-05) beside torch's; benchmarks/pairs.py says how they are timed and what is printed.

python benchmarks/products_bf16.py [--threads 1 2] [--only linear mixed backward float32] [--cpu-time]

Ours give float32, torch's bfloat16: half the bytes to write. SAMEBITS_ISA=avx512 ONEDNN_MAX_CPU_ISA=AVX512_CORE times
the replay beside a torch that has neither AMX nor avx512_bf16. In the group `float32` our own product N-04 is "theirs".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import torch
from pairs import Case, matrix, run, same_as_baseline

from samebits.numerics import conversions, library, products, products_bf16
from samebits.numerics.arrays import BF16, F32
from samebits.numerics.products_bf16 import PackedWeightBf16

SAMPLE_ROWS = 5
# GPT-2 medium: q, k and v; the attention's output; the two of the MLP; the head.
WEIGHTS = [(1024, 3072), (1024, 1024), (1024, 4096), (4096, 1024), (1024, 50257)]
ROWS = (1, 16, 128, 512, 2048)
MOST_PRODUCTS, MOST_PRODUCTS_OF_PLAIN_LOOPS = 1 << 40, 1 << 24


def sizes(rows: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Return K, N, M of every case; the head's outputs for 2,048 rows would take 400 MB."""
    return [(k, n, m) for (k, n), m in product(WEIGHTS, rows) if m * n < 60_000_000]


def sizes_beside_torch(rows: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Return the same without what torch would be minutes at: off AVX-512 its products of bfloat16 are plain loops."""
    most = MOST_PRODUCTS if library.loaded().isa in ("avx512", "amx") else MOST_PRODUCTS_OF_PLAIN_LOOPS
    return [(k, n, m) for k, n, m in sizes(rows) if m * n * k <= most]


def narrow(array: F32) -> BF16:
    """Return an array rounded to bfloat16."""
    return conversions.convert_f32_bf16(array)


def to_torch(array: BF16) -> torch.Tensor:
    """Return patterns of bfloat16 as torch's tensor, on memory of torch's: oneDNN is half as fast off a cache line."""
    return torch.from_numpy(array).view(torch.bfloat16).clone()


def against_baseline(function: Callable[..., F32], x: F32 | BF16, weight: PackedWeightBf16) -> Callable[[], None]:
    """Return a check of the first rows against the plainest library."""
    return same_as_baseline(function(x, weight)[:SAMPLE_ROWS], lambda: function(x[:SAMPLE_ROWS], weight))


def linear_cases() -> Iterator[Case]:
    """Frozen weights, packed once; rows that are bfloat16 already."""
    for k, n, m in sizes_beside_torch(ROWS):
        weight, x, out = narrow(matrix(n, k)), narrow(matrix(m, k, seed=1)), matrix(m, n)
        packed = products_bf16.pack_bf16(weight, layout="nk")
        tx, tw = to_torch(x), to_torch(weight)
        tout = torch.empty(m, n, dtype=torch.bfloat16)
        yield Case(
            f"linear K={k} N={n} M={m}",
            2 * m * n * k,
            lambda x=x, packed=packed, out=out: products_bf16.linear_bf16(x, packed, out=out),
            lambda tx=tx, tw=tw, tout=tout: torch.mm(tx, tw.t(), out=tout),
            against_baseline(products_bf16.linear_bf16, x, packed),
        )


def mixed_cases() -> Iterator[Case]:
    """The same with rows in float32 and outputs in float32, as a training step has them."""
    for k, n, m in sizes_beside_torch((16, 128, 512)):
        weight, x, out = narrow(matrix(n, k)), matrix(m, k, seed=1), matrix(m, n)
        packed = products_bf16.pack_bf16(weight, layout="nk")
        tx, tw = torch.from_numpy(x), to_torch(weight)
        yield Case(
            f"mixed K={k} N={n} M={m}",
            2 * m * n * k,
            lambda x=x, packed=packed, out=out: products_bf16.linear_bf16(x, packed, out=out),
            lambda tx=tx, tw=tw: torch.mm(tx.bfloat16(), tw.t()).float(),
            against_baseline(products_bf16.linear_bf16, x, packed),
        )


def backward_cases() -> Iterator[Case]:
    """The gradient of a frozen layer's input, from the panels that its forward product uses."""
    for k, n, m in sizes_beside_torch((16, 128, 512, 2048)):
        weight, dy, out = narrow(matrix(n, k)), narrow(matrix(m, n, seed=1)), matrix(m, k)
        packed = products_bf16.pack_bf16(weight, layout="nk")
        tdy, tw = to_torch(dy), to_torch(weight)
        tout = torch.empty(m, k, dtype=torch.bfloat16)
        yield Case(
            f"backward K={n} N={k} M={m}",
            2 * m * n * k,
            lambda dy=dy, packed=packed, out=out: products_bf16.linear_backward_bf16(dy, packed, out=out),
            lambda tdy=tdy, tw=tw, tout=tout: torch.mm(tdy, tw, out=tout),
            against_baseline(products_bf16.linear_backward_bf16, dy, packed),
        )


def float32_cases() -> Iterator[Case]:
    """Our own float32 product of the same shapes stands where torch's stands elsewhere."""
    for k, n, m in sizes((1, 16, 128, 512)):
        weight, x, out = matrix(n, k), matrix(m, k, seed=1), matrix(m, n)
        packed = products_bf16.pack_bf16(weight, layout="nk")
        packed_f32 = products.pack(weight, layout="nk")
        yield Case(
            f"float32 K={k} N={n} M={m}",
            2 * m * n * k,
            lambda x=x, packed=packed, out=out: products_bf16.linear_bf16(x, packed, out=out),
            lambda x=x, packed=packed_f32, out=out: products.linear(x, packed, out=out),
            against_baseline(products_bf16.linear_bf16, x, packed),
        )


GROUPS = {"linear": linear_cases, "mixed": mixed_cases, "backward": backward_cases, "float32": float32_cases}


if __name__ == "__main__":
    run(GROUPS)
