from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from samebits.models.base import FAMILIES
from samebits.models.shapes import SHAPES, TensorShape, context_key, context_tokens, tensors_of


def shapes_in_transformers(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    assert type(model).__name__ == config["architectures"][0] == FAMILIES[config["model_type"]]
    stored = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    for tied in model.all_tied_weights_keys:
        del stored[tied]
    return stored


@pytest.mark.parametrize("name", SHAPES)
def test_the_tensors_are_those_that_transformers_makes(name: str) -> None:
    config = SHAPES[name][1]
    tensors = tensors_of(config)
    assert {key: tensor.shape for key, tensor in tensors.items()} == shapes_in_transformers(config)
    assert list(tensors) == sorted(tensors)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("gpt2-tiny", {"n_inner": 96}),
        ("gpt2-tiny", {"tie_word_embeddings": False}),
        ("llama-tiny", {"num_key_value_heads": None}),
        ("llama-tiny", {"head_dim": 32}),
        ("llama-tiny", {"attention_bias": True}),
        ("llama-tiny", {"mlp_bias": True, "tie_word_embeddings": True}),
        ("qwen2-tiny", {"tie_word_embeddings": False}),
        ("qwen3-tiny", {"attention_bias": True, "num_key_value_heads": 4}),
        ("qwen3-tiny", {"head_dim": 128}),
        ("mistral-tiny", {"head_dim": 8}),
        ("mistral-tiny", {"attention_bias": True}),
    ],
)
def test_configurations_of_others_have_the_tensors_that_transformers_makes(name: str, changes: dict[str, Any]) -> None:
    config = {**SHAPES[name][1], **changes}
    assert {key: tensor.shape for key, tensor in tensors_of(config).items()} == shapes_in_transformers(config)


@pytest.mark.parametrize(
    ("name", "n_parameters"),
    [
        ("gpt2-small", 124_439_808),
        ("gpt2-medium", 354_823_168),
        ("llama-1b", 1_100_048_384),
        ("qwen2-0.5b", 494_032_768),
    ],
)
def test_the_counts_are_those_of_the_published_models(name: str, n_parameters: int) -> None:
    assert sum(math.prod(tensor.shape) for tensor in tensors_of(SHAPES[name][1]).values()) == n_parameters


@pytest.mark.parametrize("name", SHAPES)
def test_every_tensor_is_drawn_or_constant(name: str) -> None:
    config = SHAPES[name][1]
    variance = Fraction(str(config["initializer_range"])) ** 2
    for key, tensor in tensors_of(config).items():
        if tensor.variance is None:
            assert tensor.value == (0 if key.endswith(".bias") else 1)
            assert len(tensor.shape) == 1
        else:
            residual = config["model_type"] == "gpt2" and key.endswith("c_proj.weight")
            assert tensor == TensorShape(tensor.shape, variance=variance / (2 * config["n_layer"] if residual else 1))
            assert len(tensor.shape) == 2


def test_the_context_is_what_the_family_calls_it() -> None:
    assert context_key("gpt2") == "n_positions"
    assert context_tokens(SHAPES["gpt2-medium"][1]) == 1024
    assert context_key("mistral") == "max_position_embeddings"
    assert context_tokens(SHAPES["qwen2-0.5b"][1]) == 32768
