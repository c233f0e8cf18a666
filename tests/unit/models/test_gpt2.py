from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from samebits.data.dataset import TokenSample
from samebits.errors import ModelError
from samebits.models.families import AdaptedModel
from samebits.models.gpt2 import ACTIVATIONS, HEAD, LayerNorm, check_config, dropping_places, linear_shapes
from samebits.models.lora import LinearShape
from samebits.models.noise import Noise
from samebits.models.pack import pack_samples
from samebits.models.shapes import SHAPES

pytestmark = pytest.mark.usefixtures("native_libraries")

CONFIG = SHAPES["gpt2-tiny"][1]


def _in_transformers(config: dict[str, Any]) -> torch.nn.Module:
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))


@pytest.mark.parametrize("changes", [{}, {"n_inner": 100, "n_layer": 3}, {"tie_word_embeddings": False}])
def test_the_linear_layers_are_those_of_transformers(changes: dict[str, Any]) -> None:
    config = {**CONFIG, **changes}
    expected = {
        name: LinearShape(*module.weight.shape)
        if isinstance(module, Conv1D)
        else LinearShape(*module.weight.shape[::-1])
        for name, module in _in_transformers(config).named_modules()
        if isinstance(module, Conv1D | torch.nn.Linear)
    }
    assert linear_shapes(config) == expected
    assert list(linear_shapes(config))[-1] == HEAD


def test_the_places_that_drop_are_those_of_transformers() -> None:
    model = _in_transformers(CONFIG)
    dropping = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Dropout)}
    # Attention's weights are dropped inside of its kernel, by the layer's number.
    assert set(dropping_places(CONFIG)) == {name for name in dropping if not name.endswith("attn_dropout")}
    assert len(dropping_places(CONFIG)) == 5


@pytest.mark.parametrize("p", ["embd_pdrop", "resid_pdrop", "attn_pdrop"])
def test_each_dropout_of_the_configuration_is_at_work(
    p: str, adapted: Callable[..., AdaptedModel], samples: list[TokenSample]
) -> None:
    model = adapted("gpt2-tiny", lora_dropout=0)
    pack, places = pack_samples(samples), {name: n for n, name in enumerate(sorted(model.dropping_places))}
    gpt2 = model.model
    blocks: list[Any] = list(gpt2.blocks)

    def losses() -> list[float]:
        return gpt2.sample_losses(pack, Noise(1, 2, {}, places))

    def switch(name: str, value: float) -> None:
        if name == "embd_pdrop":
            gpt2.embd_pdrop = value  # type: ignore[attr-defined]
        for block in blocks:
            if name == "resid_pdrop":
                block.resid_pdrop = value
            elif name == "attn_pdrop":
                object.__setattr__(block.attention, "dropout", value)

    assert (gpt2.embd_pdrop, blocks[1].resid_pdrop, blocks[1].attention.dropout) == (0.1, 0.1, 0.1)  # type: ignore[attr-defined]
    for name in ("embd_pdrop", "resid_pdrop", "attn_pdrop"):
        switch(name, 0.0)
    quiet = losses()
    assert quiet == gpt2.sample_losses(pack, Noise(0))
    switch(p, 0.1)
    assert all(one != other for one, other in zip(losses(), quiet, strict=True))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_transformers_and_its_gradient_is_its_slope(name: str) -> None:
    from transformers.activations import ACT2FN

    forward, backward = ACTIVATIONS[name]
    x = np.linspace(-6, 6, 600, dtype=np.float32)
    tensor = torch.from_numpy(x).double().requires_grad_()
    expected = ACT2FN[name](tensor)
    expected.sum().backward()
    assert tensor.grad is not None
    # Of values up to 6: a few roundings of float32.
    assert np.abs(forward(x) - expected.detach().numpy()).max() < 2e-6
    assert np.abs(backward(np.ones_like(x), x) - tensor.grad.numpy()).max() < 2e-6


def test_a_norm_can_add_its_gradient_onto_another() -> None:
    generator = np.random.default_rng(1)
    x, dy = (generator.standard_normal((3, 16), dtype=np.float32) for _ in range(2))
    norm = LayerNorm(np.full(16, 2, np.float32), np.ones(16, np.float32), 2.0**-17)
    y, statistics = norm.forward(x)
    assert np.abs(y.mean(axis=1) - 1).max() < 1e-6
    alone = norm.backward(dy, x, statistics)
    onto = np.zeros_like(dy)
    assert norm.backward(dy, x, statistics, onto=onto) is onto
    assert np.array_equal(onto, alone)
    assert np.abs(alone.sum(axis=1)).max() < 1e-5


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"activation_function": "tanh"},
            "`activation_function` must be gelu_new or gelu_pytorch_tanh or gelu or relu or silu",
        ),
        ({"activation_function": "quick_gelu"}, "got 'quick_gelu'"),
        ({"scale_attn_weights": False}, "`scale_attn_weights` must be True"),
        ({"scale_attn_by_inverse_layer_idx": True}, "`scale_attn_by_inverse_layer_idx` must be False"),
        ({"reorder_and_upcast_attn": True}, "`reorder_and_upcast_attn` must be False"),
        ({"add_cross_attention": True}, "`add_cross_attention` must be False"),
    ],
)
def test_what_is_not_computed_is_refused_with_the_door_that_serves_it(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelError) as caught:
        check_config({**CONFIG, **changes})
    assert told in str(caught.value)
    assert str(caught.value).endswith("(config.json); use `--set numerics=stock`")
    assert caught.value.exit_code == 2


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ModelError, match=r"`n_embd` must be a multiple of `n_head`, got 64 \(config.json\)"):
        check_config({**CONFIG, "n_head": 5})


def test_what_is_left_out_is_transformers_default() -> None:
    left_out = ("activation_function", "resid_pdrop", "embd_pdrop", "attn_pdrop", "layer_norm_epsilon")
    config = AutoConfig.for_model("gpt2")
    check_config({key: value for key, value in CONFIG.items() if key not in left_out})
    assert config.activation_function == "gelu_new"
    assert (config.resid_pdrop, config.embd_pdrop, config.attn_pdrop) == (0.1, 0.1, 0.1)
    assert config.layer_norm_epsilon == 1e-5
    assert config.tie_word_embeddings
