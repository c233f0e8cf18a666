from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from samebits.errors import RecipeError
from samebits.models import gpt2, llama
from samebits.models.base import DEFAULT_TARGETS, FAMILIES
from samebits.models.families import linear_shapes
from samebits.models.lora import (
    ALL_LINEAR,
    LinearShape,
    a_name,
    adapter_tensors,
    b_name,
    initialise,
    lora_scale,
    low_ranks,
    peft_config,
    target_names,
)
from samebits.models.shapes import SHAPES
from samebits.recipe.reader import settings_from
from samebits.recipe.settings import Settings
from samebits.record.documents import canonical_adapter_config

pytestmark = [
    pytest.mark.usefixtures("native_libraries"),
    # PEFT calls what transformers is about to give up.
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning"),
]

GPT2_TARGETS: list[list[str] | None] = [
    None, ["all-linear"], ["c_attn"], ["c_proj"], ["attn.c_proj"], ["mlp.c_proj", "c_attn"], ["c_fc", "c_fc"],
    ["h.1.attn.c_attn"], ["transformer.h.0.mlp.c_fc", "1.attn.c_proj"], ["lm_head"], ["lm_head", "c_attn"],
]  # fmt: skip
LLAMA_TARGETS: list[list[str] | None] = [
    None, ["all-linear"], ["q_proj", "k_proj", "v_proj", "o_proj"], ["down_proj"], ["mlp.up_proj", "self_attn.q_proj"],
    ["layers.0.mlp.gate_proj", "model.layers.1.self_attn.o_proj"], ["v_proj", "q_proj"],
    ["lm_head"], ["down_proj", "lm_head"],
]  # fmt: skip
CASES = [(family, targets) for family in FAMILIES for targets in (GPT2_TARGETS if family == "gpt2" else LLAMA_TARGETS)]


def _settings(targets: list[str] | None = None, **values: Any) -> Settings:
    stated = {"lora_target_modules": targets} if targets else {}
    return settings_from({"numerics": "portable-f32", "lora_r": 4, **stated, **values}, where="test")


def _in_peft(config: dict[str, Any], settings: Settings) -> PeftModel:
    targets = settings.lora_target_modules
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
        lora = LoraConfig(
            task_type="CAUSAL_LM", r=settings.lora_r, lora_alpha=settings.lora_alpha, bias="none",
            lora_dropout=settings.lora_dropout, use_rslora=settings.use_rslora,
            target_modules="all-linear" if targets == ALL_LINEAR else list(targets) if targets else None,
            fan_in_fan_out=config["model_type"] == "gpt2",
        )  # fmt: skip
        return get_peft_model(model, lora)


def _ours(config: dict[str, Any], settings: Settings) -> tuple[list[str], dict[str, LinearShape]]:
    shapes = linear_shapes(config)
    stated = settings.lora_target_modules or DEFAULT_TARGETS[config["model_type"]]
    return target_names(shapes, stated, head="lm_head"), shapes


@pytest.mark.parametrize(("family", "targets"), CASES)
def test_names_shapes_and_configuration_are_pefts(family: str, targets: list[str] | None) -> None:
    config, settings = SHAPES[f"{family}-tiny"][1], _settings(targets, use_rslora=True, lora_alpha=7, lora_dropout=0.3)
    theirs = _in_peft(config, settings)
    names, shapes = _ours(config, settings)
    trained = {name.replace(".default.", "."): p for name, p in theirs.named_parameters() if p.requires_grad}
    tensors = adapter_tensors({name: shapes[name] for name in names}, settings.lora_r)
    assert tensors.shapes == {name: tuple(trained[name].shape) for name in sorted(trained)}
    is_transposed = family == "gpt2" and "lm_head" not in names
    actual = canonical_adapter_config(peft_config(settings, names, is_transposed=is_transposed))
    expected = canonical_adapter_config(theirs.peft_config["default"].to_dict())
    if targets == ["all-linear"]:
        # PEFT writes whole names for a small model; below is what it writes for a larger one.
        del actual["target_modules"], expected["target_modules"]
    assert actual == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_all_linear_is_written_as_peft_writes_it_for_a_model_of_five_layers(family: str) -> None:
    key = "n_layer" if family == "gpt2" else "num_hidden_layers"
    config, settings = {**SHAPES[f"{family}-tiny"][1], key: 5}, _settings(["all-linear"])
    names, _ = _ours(config, settings)
    expected = _in_peft(config, settings).peft_config["default"].target_modules
    assert peft_config(settings, names, is_transposed=True)["target_modules"] == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_written_for_all_linear_matches_all_linear(family: str) -> None:
    config, settings = SHAPES[f"{family}-tiny"][1], _settings(["all-linear"])
    names, shapes = _ours(config, settings)
    written = peft_config(settings, names, is_transposed=True)["target_modules"]
    assert target_names(shapes, sorted(written), head="lm_head") == names
    assert len(names) == len(shapes) - 1


@pytest.mark.parametrize(
    "targets", [["proj"], ["q_proj"], ["c_attn", "q_proj"], ["c_attn", "wte"], ["attn"], [".c_attn"], ["0"], ["C_ATTN"]]
)
def test_a_target_that_is_no_linear_layer_is_refused_by_name(targets: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        target_names(gpt2.linear_shapes(SHAPES["gpt2-tiny"][1]), targets, head=gpt2.HEAD)
    assert str(caught.value) == (
        f"`lora_target_modules` must name linear layers of the base, got {targets[-1]}; "
        "name some of c_attn, c_proj, c_fc, lm_head"
    )
    assert caught.value.exit_code == 2


def test_the_head_is_a_target_where_it_is_named_and_the_last_one() -> None:
    shapes = llama.linear_shapes(SHAPES["llama-tiny"][1])
    names = target_names(shapes, ["lm_head", "layers.1.self_attn.q_proj"], head=llama.HEAD)
    assert names == ["model.layers.1.self_attn.q_proj", "lm_head"]
    assert llama.HEAD not in target_names(shapes, ALL_LINEAR, head=llama.HEAD)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ({"lora_r": 16, "lora_alpha": 32}, 2.0),
        ({"lora_r": 3, "lora_alpha": 1}, float(np.float32(1 / 3))),
        ({"lora_r": 7, "lora_alpha": 0.1}, float(np.float32(0.1 / 7))),
        ({"lora_r": 16, "lora_alpha": 32, "use_rslora": True}, 8.0),
        ({"lora_r": 2, "lora_alpha": 1, "use_rslora": True}, float(np.float32(math.sqrt(0.5)))),
    ],
)
def test_the_scale_is_rounded_once(values: dict[str, Any], scale: float) -> None:
    assert lora_scale(_settings(**values)) == scale


def test_the_scale_of_rslora_lies_next_to_the_root() -> None:
    for rank in range(1, 200):
        scale = Fraction(lora_scale(_settings(lora_r=rank, lora_alpha=13, use_rslora=True)))
        below, above = (Fraction(float(np.nextafter(np.float32(scale), np.float32(side)))) for side in (0, np.inf))
        assert ((below + scale) / 2) ** 2 <= Fraction(169, rank) <= ((scale + above) / 2) ** 2


LAYERS = {"x.q": LinearShape(48, 8), "x.k": LinearShape(5, 64), "a.q": LinearShape(48, 8)}


def _drawn(layers: dict[str, LinearShape], seed: int) -> dict[str, np.ndarray[Any, Any]]:
    tensors = adapter_tensors(layers, 3)
    views = tensors.views(np.full(tensors.size, np.nan, dtype=np.float32))
    initialise(views, seed)
    return views


def test_a_lies_within_its_bounds_and_b_is_zero() -> None:
    views = _drawn(LAYERS, 1)
    assert {name: view.shape for name, view in views.items()} == {
        a_name("x.q"): (3, 48), b_name("x.q"): (8, 3), a_name("x.k"): (3, 5), b_name("x.k"): (64, 3),
        a_name("a.q"): (3, 48), b_name("a.q"): (8, 3),
    }  # fmt: skip
    for layer, shape in LAYERS.items():
        a, b = views[a_name(layer)], views[b_name(layer)]
        bound = 1 / math.sqrt(shape.n_in)
        assert bound / 2 < np.abs(a).max() <= bound
        assert len(np.unique(a)) == a.size
        assert b.tobytes() == bytes(b.nbytes)


def test_a_is_of_the_seed_and_of_the_tensors_place_among_all() -> None:
    first = _drawn(LAYERS, 1)
    assert all(view.tobytes() == _drawn(LAYERS, 1)[name].tobytes() for name, view in first.items())
    assert first[a_name("x.q")].tobytes() != _drawn(LAYERS, 2)[a_name("x.q")].tobytes()
    assert first[a_name("x.q")].tobytes() != first[a_name("a.q")].tobytes()
    backwards = dict(reversed(LAYERS.items()))
    assert first[a_name("x.q")].tobytes() == _drawn(backwards, 1)[a_name("x.q")].tobytes()


def test_low_ranks_are_views_of_the_tensors() -> None:
    views = _drawn(LAYERS, 1)
    ranks = low_ranks(LAYERS, views, _settings(lora_r=4, lora_alpha=6, lora_dropout=0.25))
    assert ranks.keys() == LAYERS.keys()
    for layer, rank in ranks.items():
        assert (rank.a_name, rank.b_name, rank.scale, rank.dropout) == (a_name(layer), b_name(layer), 1.5, 0.25)
        assert np.shares_memory(rank.a, views[a_name(layer)])
        assert np.shares_memory(rank.b, views[b_name(layer)])
