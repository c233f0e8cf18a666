"""LoRA: which linear layers get an adapter, and what PEFT calls its tensors.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021; names and matching rules are PEFT's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from samebits.errors import RecipeError
from samebits.models.linear import LowRank
from samebits.numerics.arrays import F32
from samebits.numerics.host_scalars import decimal_of, nearest_f32, settled, square_root
from samebits.numerics.initialisation import kaiming_uniform
from samebits.numerics.optimizer import FlatTensors
from samebits.numerics.random import Purpose, Stream
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

    As PEFT matches: a target is a layer's whole name or its last parts; `all-linear` is every layer but the head, which
    is adapted where it is named, and alone where the embedding is its weight. A target that names no linear layer is
    refused, where PEFT overlooks it or adapts an embedding.

    Raises:
        RecipeError: a target names no layer.
    """
    names = list(layers)
    if tuple(targets) == ALL_LINEAR:
        return [name for name in names if name != head]
    chosen = {target: [name for name in names if name == target or name.endswith(f".{target}")] for target in targets}
    for target, found in chosen.items():
        if not found:
            raise RecipeError(
                "`lora_target_modules` must name linear layers of the base",
                got=target,
                remedy=f"name some of {', '.join(_last_parts(names))}",
            )
    adapted = {name for found in chosen.values() for name in found}
    return [name for name in names if name in adapted]


def lora_scale(settings: Settings) -> float:
    """Return lora_alpha / lora_r, or lora_alpha / sqrt(lora_r) with use_rslora: one rounding to float32."""
    alpha, rank = decimal_of(settings.lora_alpha), settings.lora_r
    if not settings.use_rslora:
        return nearest_f32(alpha / rank)
    squared = (alpha * alpha / rank,) * 2
    return settled(lambda bits: square_root(squared, bits), nearest_f32)


def peft_config(settings: Settings, targets: Sequence[str], *, is_transposed: bool) -> dict[str, Any]:
    """Return the configuration that PEFT would write for this adapter.

    Args:
        targets: layers with an adapter.
        is_transposed: the last of them keeps its weight as [in, out], as all of GPT-2's do but the head: PEFT finds
            this out for each layer, and writes what it found last.
    """
    stated = settings.lora_target_modules or ()
    return {
        "bias": "none",
        "fan_in_fan_out": is_transposed,
        "init_lora_weights": True,
        "lora_alpha": settings.lora_alpha,
        "lora_dropout": settings.lora_dropout,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": settings.lora_r,
        "target_modules": set(_last_parts(targets)) if stated in ((), ALL_LINEAR) else set(stated),
        "task_type": "CAUSAL_LM",
        "use_dora": False,
        "use_rslora": settings.use_rslora,
    }


def _last_parts(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.rpartition(".")[2] for name in names))


def a_name(layer: str) -> str:
    """Return PEFT's name of a layer's A."""
    return f"{PREFIX}{layer}.lora_A.weight"


def b_name(layer: str) -> str:
    """Return PEFT's name of a layer's B."""
    return f"{PREFIX}{layer}.lora_B.weight"


def adapter_tensors(layers: Mapping[str, LinearShape], rank: int) -> FlatTensors:
    """Return where an adapter's tensors lie in one buffer: A [r, in] and B [out, r] for each layer."""
    shapes = {}
    for name, layer in layers.items():
        shapes[a_name(name)] = (rank, layer.n_in)
        shapes[b_name(name)] = (layer.n_out, rank)
    return FlatTensors(shapes)


def initialise(tensors: Mapping[str, F32], seed: int) -> None:
    """Draw every A, its tensor numbered among the sorted names, and set every B to +0 (N-22)."""
    for number, (name, tensor) in enumerate(sorted(tensors.items())):
        if name.endswith("lora_B.weight"):
            tensor.fill(0)
        else:
            rows, fan_in = tensor.shape
            tensor[...] = kaiming_uniform(rows, fan_in, Stream(seed, Purpose.INITIALISATION, tensor=number))


def low_ranks(layers: Iterable[str], tensors: Mapping[str, F32], settings: Settings) -> dict[str, LowRank]:
    """Return the adapter of each layer, over the tensors' own memory."""
    scale = lora_scale(settings)
    return {
        name: LowRank(
            *(a_name(name), b_name(name), tensors[a_name(name)], tensors[b_name(name)], scale, settings.lora_dropout)
        )
        for name in layers
    }
