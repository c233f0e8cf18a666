from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from samebits.models.families import AdaptedModel
from samebits.models.llama import HEAD, Angles, LlamaBlock, RMSNorm, linear_shapes
from samebits.models.lora import LinearShape
from samebits.models.noise import Noise
from samebits.models.pack import pack_tokens
from samebits.models.shapes import SHAPES
from samebits.numerics import rotary

pytestmark = pytest.mark.usefixtures("native_libraries")


@pytest.mark.parametrize(
    ("shape", "changes"),
    [
        ("llama-tiny", {}),
        ("llama-tiny", {"head_dim": 24, "num_key_value_heads": 1}),
        ("llama-tiny", {"num_key_value_heads": None}),
        ("qwen2-tiny", {}),
        ("qwen3-tiny", {"tie_word_embeddings": False}),
        ("mistral-tiny", {"head_dim": 8, "num_hidden_layers": 3}),
    ],
)
def test_the_linear_layers_are_those_of_transformers(shape: str, changes: dict[str, Any]) -> None:
    config = {**SHAPES[shape][1], **changes}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    linear = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    assert linear_shapes(config) == {
        name: LinearShape(module.in_features, module.out_features) for name, module in linear.items()
    }
    assert list(linear_shapes(config))[-1] == HEAD


def test_each_head_is_normed_by_itself() -> None:
    generator = np.random.default_rng(1)
    x, dy = (generator.standard_normal((5, 3, 8), dtype=np.float32) for _ in range(2))
    norm = RMSNorm(generator.standard_normal(8, dtype=np.float32), 2.0**-20)
    y, statistics = norm.forward_heads(x)
    dx = norm.backward_heads(dy, x, statistics)
    for head in range(3):
        rows = np.ascontiguousarray(x[:, head])
        expected, row_statistics = norm.forward(rows)
        assert y[:, head].tobytes() == expected.tobytes()
        gradient = norm.backward(np.ascontiguousarray(dy[:, head]), rows, row_statistics)
        assert dx[:, head].tobytes() == gradient.tobytes()


def test_a_norm_can_add_its_gradient_onto_another() -> None:
    generator = np.random.default_rng(2)
    x, dy = (generator.standard_normal((3, 16), dtype=np.float32) for _ in range(2))
    norm = RMSNorm(np.ones(16, np.float32), 2.0**-20)
    y, statistics = norm.forward(x)
    assert np.abs((y * y).mean(axis=1) - 1).max() < 1e-5
    onto = np.zeros_like(dy)
    assert norm.backward(dy, x, statistics, onto=onto) is onto
    assert np.array_equal(onto, norm.backward(dy, x, statistics))


@pytest.mark.parametrize(
    ("family", "has_bias", "has_norms", "window"),
    [
        ("llama", False, False, None),
        ("qwen2", True, False, None),
        ("qwen3", False, True, None),
        ("mistral", False, False, 64),
    ],
)
def test_a_family_is_its_biases_norms_and_window(
    family: str, has_bias: bool, has_norms: bool, window: int | None, adapted: Callable[..., AdaptedModel]
) -> None:
    model = adapted(f"{family}-tiny").model
    for layer, block in enumerate(model.blocks):
        assert isinstance(block, LlamaBlock)
        assert [linear.bias is not None for linear in block.linears] == [has_bias] * 3 + [False] * 4
        assert [norm is not None for norm in (block.q_norm, block.k_norm)] == [has_norms] * 2
        assert (block.attention.window, block.attention.layer, block.attention.dropout) == (window, layer, 0.0)
    assert model.n_positions == 512
    assert model.key_shape == (2, 32 if family == "qwen3" else 16)


def test_only_the_distance_of_positions_counts(adapted: Callable[..., AdaptedModel]) -> None:
    """Rotary positions are relative: the same tokens further on have the same logits, but for rounding."""
    model = adapted("llama-tiny").model
    ids = [7, 8, 9, 400, 3]
    near = model.next_logits(pack_tokens(ids), model.new_caches(5))
    far = model.next_logits(pack_tokens(ids, first_position=100), model.new_caches(5))
    assert 0 < np.abs(near - far).max() < 1e-4 * np.abs(near).max()
    turned = model.next_logits(pack_tokens([8, 7, 9, 400, 3]), model.new_caches(5))
    assert np.abs(near - turned).max() > 1e-3 * np.abs(near).max()


def test_angles_are_those_of_the_whole_context_however_far_it_was_read() -> None:
    frequencies = rotary.inverse_frequencies(8, 10000.0)
    cos, sin = rotary.tables(300, frequencies)
    angles = Angles(frequencies)
    for positions in ([0], [4, 0, 4], [5], [255, 3], [256], [299, 17]):
        at = np.array(positions)
        found = angles.at(at)
        assert found[0].tobytes() == cos[at].tobytes()
        assert found[1].tobytes() == sin[at].tobytes()
    assert angles.at(np.array([], dtype=np.int64))[0].shape == (0, 4)


def test_angles_reach_no_further_than_twice_what_was_read(adapted: Callable[..., AdaptedModel]) -> None:
    model = adapted("llama-tiny").model
    model.next_logits(pack_tokens(list(range(33))), model.new_caches(33))
    block = model.blocks[1]
    assert isinstance(block, LlamaBlock)
    assert len(block.angles._cos) == 64 < model.n_positions


def test_the_embedding_is_the_tables_row(adapted: Callable[..., AdaptedModel]) -> None:
    model = adapted("llama-tiny").model
    rows = model.embed(pack_tokens([3, 3, 511]), Noise(0))
    assert rows.tobytes() == model.tokens[[3, 3, 511]].tobytes()  # type: ignore[attr-defined]
