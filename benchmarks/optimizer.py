"""Mean and norm of a gradient, AdamW and the tree over samples (N-11, N-13) beside torch's; see benchmarks/pairs.py.

python benchmarks/optimizer.py [--threads 1 2] [--only norm adamw tree] [--cpu-time]

LoRA's tensors are those of GPT-2 medium with rank 16 on every projection; torch holds them as a list, as its optimizer
does, and updates them by its fused kernel.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from pairs import Case, matrix, run, same_as_baseline

from samebits.numerics import optimizer
from samebits.numerics.arrays import F32, empty_by_lines
from samebits.numerics.sample_tree import SampleTree

RANK, LAYERS = 16, 24
PROJECTIONS = {"c_attn": (1024, 3072), "c_proj": (1024, 1024), "c_fc": (1024, 4096), "mlp": (4096, 1024)}
LORA = {
    f"{layer:02}.{name}.{side}": (RANK, n_in) if side == "a" else (n_out, RANK)
    for layer in range(LAYERS)
    for name, (n_in, n_out) in PROJECTIONS.items()
    for side in "ab"
}
TORCH_SETTINGS = {
    "lr": 1e-3,
    "beta1": 0.9,
    "beta2": 0.999,
    "weight_decay": 0.01,
    "eps": 1e-8,
    "amsgrad": False,
    "maximize": False,
}
LAYOUTS = {
    "LoRA R=16": optimizer.FlatTensors(LORA),
    "LoRA R=16, one layer": optimizer.FlatTensors({name: shape for name, shape in LORA.items() if name < "01"}),
    "one tensor 4096x4096": optimizer.FlatTensors({"weight": (4096, 4096)}),
}


def buffer(n: int, seed: int) -> F32:
    """Return small normal numbers that start on a cache line."""
    flat = empty_by_lines(n)
    flat[...] = 1e-2 * np.random.default_rng([seed, n]).standard_normal(n)
    return flat


def tensors_of(layout: optimizer.FlatTensors, seed: int) -> list[torch.Tensor]:
    """Return the same numbers as a list of tensors of their own."""
    return [torch.from_numpy(view.copy()) for view in layout.views(buffer(layout.size, seed)).values()]


def norm_cases() -> Iterator[Case]:
    """The norm alone, and with the division by the number of target tokens before it."""
    for name, layout in LAYOUTS.items():
        gradient, theirs = buffer(layout.size, 1), tensors_of(layout, 1)
        summed, theirs_summed = gradient.copy(), tensors_of(layout, 1)

        def computed(layout: optimizer.FlatTensors = layout) -> F32:
            fresh = buffer(layout.size, 1)
            norm = optimizer.gradient_norm(fresh, layout, n_targets=3)
            return np.append(fresh, np.float32(norm))

        check = same_as_baseline(computed(), computed)
        yield Case(
            f"norm, {name}",
            2 * layout.size,
            lambda gradient=gradient, layout=layout: optimizer.gradient_norm(gradient, layout),
            lambda theirs=theirs: torch.nn.utils.get_total_norm(theirs, foreach=True),
            check,
        )
        yield Case(
            f"copy, mean and norm, {name}",
            3 * layout.size,
            lambda gradient=gradient, summed=summed, layout=layout: (
                np.copyto(gradient, summed),
                optimizer.gradient_norm(gradient, layout, n_targets=3),
            ),
            lambda theirs=theirs, theirs_summed=theirs_summed: (
                torch._foreach_copy_(theirs, theirs_summed),
                torch._foreach_div_(theirs, 3.0),
                torch.nn.utils.get_total_norm(theirs, foreach=True),
            ),
            check,
        )


def adamw_cases() -> Iterator[Case]:
    """One update of all tensors: with its scalars, against torch's own optimizer, and the kernels alone."""
    settings = optimizer.AdamW(weight_decay=0.01)
    for name, layout in LAYOUTS.items():

        def arrays(layout: optimizer.FlatTensors = layout) -> list[F32]:
            p, g, m, v = (buffer(layout.size, seed) for seed in range(4))
            return [p, g, m, np.abs(v)]

        def updated() -> F32:
            made = arrays()
            optimizer.adamw(*made, optimizer.adamw_scalars(settings, learning_rate=1e-3, step=3, clip=0.5))
            return np.concatenate(made)

        ours, theirs = arrays(), [tensors_of(layout, seed) for seed in range(3)]
        squares = [torch.abs(tensor) for tensor in tensors_of(layout, 3)]
        steps = [torch.tensor(5.0) for _ in theirs[0]]
        check = same_as_baseline(updated(), updated)
        yield Case(
            f"adamw, {name}",
            14 * layout.size,
            lambda ours=ours: optimizer.adamw(
                *ours, optimizer.adamw_scalars(settings, learning_rate=1e-3, step=3, clip=0.5)
            ),
            lambda theirs=theirs, squares=squares, steps=steps: torch._fused_adamw_(
                *(*theirs, squares, [], steps),
                **TORCH_SETTINGS,
            ),
            check,
        )


def tree_cases() -> Iterator[Case]:
    """Eight samples' gradients, added as they come; torch adds each to one buffer."""
    layout = LAYOUTS["LoRA R=16"]
    shape = (layout.size,)
    theirs, total = [torch.zeros(shape) for _ in range(8)], torch.zeros(shape)
    tree = SampleTree(8, shape)
    totals = [np.zeros(shape, dtype=np.float32)]

    def ours() -> None:
        # The last total's buffer is the next first leaf, as in training.
        tree.add(totals.pop())
        for _ in range(7):
            tree.add(tree.buffer())
        totals.append(tree.total())

    for _ in range(8):
        leaf = tree.buffer()
        leaf[...] = 0
        tree.add(leaf)
    tree.total()

    def accumulated() -> None:
        total.zero_()
        for leaf in theirs:
            total.add_(leaf)

    def computed() -> F32:
        fresh = SampleTree(8, shape)
        for seed in range(8):
            fresh.add(matrix(1, layout.size, seed=seed)[0])
        return fresh.total()

    yield Case("tree of 8 samples", 8 * layout.size, ours, accumulated, same_as_baseline(computed(), computed))


GROUPS = {"norm": norm_cases, "adamw": adamw_cases, "tree": tree_cases}


if __name__ == "__main__":
    run(GROUPS)
