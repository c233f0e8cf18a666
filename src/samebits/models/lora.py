"""LoRA: which linear layers get an adapter, what PEFT calls its tensors, and how one is applied (N-17).

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021; names and matching rules are PEFT's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from samebits.errors import RecipeError
from samebits.numerics.arrays import F32, empty_by_lines
from samebits.numerics.host_scalars import rounded_sqrt_to_f32, rounded_to_f32
from samebits.numerics.initialisation import kaiming_uniform
from samebits.recipe.settings import Settings

ALL_LINEAR = ("all-linear",)
PREFIX = "base_model.model."


@dataclass(frozen=True)
class LinearShape:
    """A linear layer of a base: inputs, outputs."""

    n_in: int
    n_out: int


def target_names(layers: Iterable[str], targets: Sequence[str], *, head: str) -> list[str]:
    """Return the layers that get an adapter, in the model's order.

    As PEFT matches: a target is a layer's whole name or its last parts; `all-linear` is every layer but the head.

    Raises:
        RecipeError: no layer is named.
    """
    names = list(layers)
    if tuple(targets) == ALL_LINEAR:
        return [name for name in names if name != head]
    chosen = [name for name in names if any(name == target or name.endswith(f".{target}") for target in targets)]
    if not chosen:
        raise RecipeError(
            "`lora_target_modules` must name linear layers of the base",
            got=", ".join(targets),
            remedy="name one of " + ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in names)),
        )
    return chosen


def lora_scale(settings: Settings) -> float:
    """Return lora_alpha / lora_r, or lora_alpha / sqrt(lora_r) with use_rslora: one rounding to float32."""
    alpha = Fraction(repr(settings.lora_alpha))
    if settings.use_rslora:
        return rounded_sqrt_to_f32(alpha * alpha / settings.lora_r)
    return rounded_to_f32(alpha / settings.lora_r)


def peft_config(settings: Settings, targets: Sequence[str], *, is_transposed: bool) -> dict[str, Any]:
    """Return the configuration that PEFT would write for this adapter.

    Args:
        targets: layers with an adapter.
        is_transposed: the base keeps its weights as [in, out], as GPT-2 does.
    """
    stated = settings.lora_target_modules or ()
    names = {name.rpartition(".")[2] for name in targets} if tuple(stated) == ALL_LINEAR else set(stated)
    return {
        "bias": "none",
        "fan_in_fan_out": is_transposed,
        "init_lora_weights": True,
        "lora_alpha": settings.lora_alpha,
        "lora_dropout": settings.lora_dropout,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": settings.lora_r,
        "target_modules": names,
        "task_type": "CAUSAL_LM",
        "use_dora": False,
        "use_rslora": settings.use_rslora,
    }


class Parameters:
    """The adapter's tensors, or anything of their shapes (gradients, moments), as views of one array.

    Args:
        shapes: by PEFT's name; they lie in order of name.
        flat: [n] float32, where it exists already.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, int]], flat: F32 | None = None) -> None:
        self.shapes = {name: shapes[name] for name in sorted(shapes)}
        sizes = [rows * columns for rows, columns in self.shapes.values()]
        self.flat = empty_by_lines(sum(sizes)) if flat is None else flat
        ends = np.cumsum(sizes).tolist()
        self.tensors: dict[str, F32] = {
            name: self.flat[end - size : end].reshape(shape)
            for (name, shape), size, end in zip(self.shapes.items(), sizes, ends, strict=True)
        }

    def like(self) -> Parameters:
        """Return new tensors of these shapes, all +0."""
        new = Parameters(self.shapes)
        new.flat.fill(0)
        return new


def parameter_shapes(layers: Mapping[str, LinearShape], rank: int) -> dict[str, tuple[int, int]]:
    """Return the shapes of an adapter's tensors: A [r, in] and B [out, r] for each layer, by PEFT's names."""
    shapes = {}
    for name, layer in layers.items():
        shapes[f"{PREFIX}{name}.lora_A.weight"] = (rank, layer.n_in)
        shapes[f"{PREFIX}{name}.lora_B.weight"] = (layer.n_out, rank)
    return shapes


def initialise(parameters: Parameters, seed: int) -> None:
    """Draw every A (N-22, its tensor numbered among the sorted names) and set every B to +0."""
    for number, (name, tensor) in enumerate(parameters.tensors.items()):
        if name.endswith("lora_B.weight"):
            tensor.fill(0)
        else:
            kaiming_uniform(seed, tensor=number, out=tensor)
