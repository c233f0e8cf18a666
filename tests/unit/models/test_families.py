from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from samebits.errors import ModelError, RecipeError
from samebits.models import gpt2, llama
from samebits.models.base import DEFAULT_TARGETS, FAMILIES, Base
from samebits.models.families import adapt, linear_shapes
from samebits.models.gpt2 import GPT2
from samebits.models.llama import Llama
from samebits.models.noise import Noise
from samebits.models.pack import pack_samples
from samebits.recipe.reader import settings_from
from samebits.recipe.settings import Settings

pytestmark = pytest.mark.usefixtures("native_libraries")

BaseOf = Callable[[str], Base]


def _settings(**values: Any) -> Settings:
    return settings_from({"numerics": "portable-f32", "lora_r": 4, **values}, where="test")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_its_model_its_targets_and_its_places(family: str, base_of: BaseOf) -> None:
    base = base_of(f"{family}-tiny")
    adapted = adapt(base, _settings())
    assert type(adapted.model) is (GPT2 if family == "gpt2" else Llama)
    assert adapted.peft_config["target_modules"] == set(DEFAULT_TARGETS[family])
    assert adapted.peft_config["fan_in_fan_out"] == (family == "gpt2")
    assert adapted.dropping_places == (tuple(gpt2.dropping_places(base.config)) if family == "gpt2" else ())
    assert linear_shapes(base.config) == (gpt2 if family == "gpt2" else llama).linear_shapes(base.config)
    layers = [layer for block in adapted.model.blocks for layer in block.linears]
    assert sum(layer.adapter is not None for layer in layers) == len(adapted.parameters) // 2 > 0


@pytest.mark.parametrize("shape", ["gpt2-tiny", "llama-tiny"])
def test_an_adapter_on_the_head_is_written_as_peft_does_and_leaves_the_embedding_alone(
    shape: str, base_of: BaseOf, samples: Any
) -> None:
    pack, frozen = pack_samples(samples), adapt(base_of(shape), _settings())
    adapted = adapt(base_of(shape), _settings(lora_target_modules=["lm_head"]))
    # PEFT writes how the last layer keeps its weight, and GPT-2's head keeps it as everybody's does.
    assert (adapted.peft_config["target_modules"], adapted.peft_config["fan_in_fan_out"]) == ({"lm_head"}, False)
    assert {name: tensor.shape for name, tensor in adapted.parameters.items()} == {
        "base_model.model.lm_head.lora_A.weight": (4, 64),
        "base_model.model.lm_head.lora_B.weight": (512, 4),
    }
    before = adapted.model.sample_losses(pack, Noise(0))
    assert before == frozen.model.sample_losses(pack, Noise(0))
    adapted.flat[:] = np.linspace(-0.1, 0.2, adapted.flat.size)
    assert adapted.model.sample_losses(pack, Noise(0)) != before
    assert adapted.model.embed(pack, Noise(0)).tobytes() == frozen.model.embed(pack, Noise(0)).tobytes()


def test_a_change_of_the_buffer_is_a_change_of_the_model(base_of: BaseOf) -> None:
    adapted = adapt(base_of("gpt2-tiny"), _settings())
    adapter = adapted.model.blocks[1].linears[0].adapter
    assert adapter is not None
    adapted.flat.fill(3)
    assert (adapter.a == 3).all()
    assert (adapter.b == 3).all()
    assert all((tensor == 3).all() for tensor in adapted.parameters.values())
    assert adapted.flat.size == adapted.tensors.size == sum(tensor.size for tensor in adapted.parameters.values())


def test_the_seed_decides_the_first_values_and_nothing_else(base_of: BaseOf) -> None:
    base = base_of("llama-tiny")
    one, same, other = (adapt(base, _settings(seed=seed)).flat for seed in (1, 1, 2))
    assert one.tobytes() == same.tobytes() != other.tobytes()
    dropped = adapt(base, _settings(seed=1, lora_dropout=0.5, lora_alpha=3)).flat
    assert dropped.tobytes() == one.tobytes()


def test_a_configuration_or_a_target_that_is_not_served_is_refused(base_of: BaseOf) -> None:
    base = base_of("llama-tiny")
    strange = Base(**{**vars(base), "config": {**base.config, "hidden_act": "relu"}})
    with pytest.raises(ModelError, match="`hidden_act` must be silu"):
        adapt(strange, _settings())
    with pytest.raises(RecipeError, match="must name linear layers of the base, got c_attn; name some of q_proj"):
        adapt(base, _settings(lora_target_modules=["c_attn"]))


@pytest.mark.parametrize("r", [10**13, 10**18, 10**30])
def test_an_adapter_that_does_not_fit_into_memory_is_refused(base_of: BaseOf, r: int) -> None:
    # A copy is not validated: a rank within the bounds may or may not fit here.
    settings = _settings().model_copy(update={"lora_r": r})
    with pytest.raises(RecipeError, match=f"the adapter must fit into memory, got r={r}; use a smaller rank"):
        adapt(base_of("gpt2-tiny"), settings)


def test_gradients_reach_every_tensor(base_of: BaseOf, samples: Any) -> None:
    for family in FAMILIES:
        adapted = adapt(base_of(f"{family}-tiny"), _settings(lora_target_modules=["all-linear"]))
        np.add(adapted.flat, np.float32(0.01), out=adapted.flat)
        flats = [np.zeros(adapted.tensors.size, dtype=np.float32) for _ in samples]
        gradients = [adapted.tensors.views(flat) for flat in flats]
        adapted.model.losses_and_gradients(pack_samples(samples), Noise(0), gradients, keeps_activations=True)
        assert all(view.any() for gradient in gradients for view in gradient.values())
