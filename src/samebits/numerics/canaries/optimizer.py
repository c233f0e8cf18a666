"""Canaries of sums over samples and of the optimizer."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from samebits.numerics import optimizer
from samebits.numerics.arrays import F32
from samebits.numerics.canaries.canary import Canary, pattern
from samebits.numerics.oracle import optimizer as oracle
from samebits.numerics.sample_tree import SampleTree

N_SAMPLES, LEAF = 11, 37
N_TARGETS = 3
# Seven, one of them empty, so that their places in the last sum show.
TENSORS = optimizer.FlatTensors(
    {"a": (3, 67), "b": (1,), "c": (64,), "d": (5, 7), "e": (0, 4), "f": (2, 65), "g": (9,)}
)
N_ELEMENTS = 3 * 64 + 37
# Clip, the two means' weights, correction, eps, decay and step size, all different and none a power of two.
SCALARS = (0x3F28F5C3, 0x3F666666, 0x3DCCCCCD, 0x3F7FBE77, 0x3A83126F, 0x41FCFB72, 0x322BCC77, 0x3F7FFF97, 0x3B03126F)


def _leaves() -> tuple[F32]:
    return (pattern(21, N_SAMPLES, LEAF, low=110, high=120),)


def _tree(leaves: F32) -> F32:
    tree = SampleTree(len(leaves), leaves.shape[1:])
    for leaf in leaves:
        tree.add(leaf)
    return tree.total()


def _tree_answer(leaves: list[list[int]]) -> list[int]:
    return [oracle.tree(column) for column in zip(*leaves, strict=True)]


def _gradient() -> tuple[F32]:
    """Return a gradient whose norm tells the sum's tree: in another, or in one row, it is the next float32."""
    return (pattern(105, TENSORS.size, low=117, high=120),)


def _norm(gradient: F32) -> F32:
    norm = optimizer.gradient_norm(gradient, TENSORS, n_targets=N_TARGETS)
    return np.append(gradient, np.float32(norm))


def _norm_answer(gradient: list[int]) -> list[int]:
    means = [oracle.mean(element, N_TARGETS) for element in gradient]
    return [*means, oracle.norm([means[start:end] for start, end in pairwise(TENSORS.starts.tolist())])]


def _adamw_operands() -> tuple[F32, F32, F32, F32]:
    gradient, mean = (pattern(seed, N_ELEMENTS, low=110, high=124) for seed in (24, 25))
    return pattern(23, N_ELEMENTS, low=115, high=124), gradient, mean, np.abs(pattern(26, N_ELEMENTS, low=95, high=120))


def _adamw(parameter: F32, gradient: F32, mean: F32, square: F32) -> F32:
    optimizer.adamw(parameter, gradient, mean, square, np.array(SCALARS, dtype=np.uint32).view(np.float32))
    return np.stack([parameter, mean, square])


def _adamw_answer(*operands: list[int]) -> list[list[int]]:
    updated = [oracle.adamw(p, g, m, v, SCALARS) for p, g, m, v in zip(*operands, strict=True)]
    return [list(column) for column in zip(*updated, strict=True)]


CANARIES = (
    Canary(
        *("N-11", "sample_tree", _leaves, _tree, _tree_answer),
        "06ebd8ef0ef0c0d3b12f970dffe624afe0e779fbff5ecffa1586c91251a0efe1",
    ),
    Canary(
        *("N-13", "gradient_norm", _gradient, _norm, _norm_answer),
        "e459b151850952f5834ef94a9e196a89384264dff2a03cbdb74620008e520c4a",
    ),
    Canary(
        *("N-13", "adamw", _adamw_operands, _adamw, _adamw_answer),
        "fa062f38d2d293619367be85455cb3cca0baa124874aac3a66a6004d41994609",
    ),
)
