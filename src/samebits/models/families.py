"""From a base and its settings to a model with an adapter: which file serves which family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from samebits.errors import RecipeError
from samebits.models import gpt2, llama
from samebits.models.base import DEFAULT_TARGETS, Base
from samebits.models.decoder import Decoder
from samebits.models.lora import LinearShape, adapter_tensors, initialise, low_ranks, peft_config, target_names
from samebits.models.weights import Weights
from samebits.numerics.arrays import F32, empty_by_lines
from samebits.numerics.optimizer import FlatTensors
from samebits.recipe.settings import Settings


@dataclass(frozen=True)
class AdaptedModel:
    """A model, its adapter's tensors (views of `flat`, which a step changes in place), and PEFT's configuration."""

    model: Decoder
    tensors: FlatTensors
    flat: F32
    peft_config: dict[str, Any]
    dropping_places: tuple[str, ...]

    @property
    def parameters(self) -> dict[str, F32]:
        """The adapter's tensors by PEFT's names."""
        return self.tensors.views(self.flat)


def adapt(base: Base, settings: Settings) -> AdaptedModel:
    """Load a base, pack its weights, and lay a new adapter on it.

    Raises:
        ModelError: the configuration asks for what portable arithmetic does not compute.
        RecipeError: the target modules are not in this base, or the adapter does not fit into memory.
    """
    config: Mapping[str, Any] = base.config
    is_gpt2 = config["model_type"] == "gpt2"
    shapes = linear_shapes(config)
    stated = settings.lora_target_modules or DEFAULT_TARGETS[config["model_type"]]
    targets = target_names(shapes, stated, head=(gpt2 if is_gpt2 else llama).HEAD)
    tensors, flat = _laid_out({name: shapes[name] for name in targets}, settings.lora_r)
    parameters = tensors.views(flat)
    initialise(parameters, settings.seed)
    adapters = low_ranks(targets, parameters, settings)
    weights = Weights(base)
    model: Decoder = gpt2.GPT2(config, weights, adapters) if is_gpt2 else llama.Llama(config, weights, adapters)
    weights.release()
    places = tuple(gpt2.dropping_places(config)) if is_gpt2 else ()
    is_transposed = is_gpt2 and gpt2.HEAD not in targets
    return AdaptedModel(model, tensors, flat, peft_config(settings, targets, is_transposed=is_transposed), places)


def linear_shapes(config: Mapping[str, Any]) -> dict[str, LinearShape]:
    """Return the linear layers of a base in the model's order, the head last."""
    return gpt2.linear_shapes(config) if config["model_type"] == "gpt2" else llama.linear_shapes(config)


def _laid_out(layers: Mapping[str, LinearShape], rank: int) -> tuple[FlatTensors, F32]:
    """Return where an adapter's tensors lie, and the buffer that holds them."""
    try:
        tensors = adapter_tensors(layers, rank)
        return tensors, empty_by_lines(tensors.size)
    # ValueError and OverflowError: more elements than can be counted.
    except (MemoryError, ValueError, OverflowError) as error:
        raise RecipeError(
            "the adapter must fit into memory",
            got=f"r={rank}",
            remedy="use a smaller rank: `--set lora_r=16`",
        ) from error
