from __future__ import annotations

from typing import Any

import pytest
from transformers import AutoConfig

from samebits.errors import ModelError
from samebits.models.llama_config import check_config, head_sizes, rope_scaling, rope_theta, window_of
from samebits.models.shapes import SHAPES
from samebits.numerics.rotary import LinearScaling, Llama3Scaling

LLAMA, QWEN2, QWEN3, MISTRAL = (SHAPES[f"{name}-tiny"][1] for name in ("llama", "qwen2", "qwen3", "mistral"))
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 8192}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({**LLAMA, "hidden_act": "gelu"}, "`hidden_act` must be silu on portable arithmetic, got 'gelu'"),
        ({**LLAMA, "pretraining_tp": 2}, "`pretraining_tp` must be 1 on portable arithmetic, got 2"),
        ({**LLAMA, "partial_rotary_factor": 0.5}, "`partial_rotary_factor` must be 1 on portable arithmetic, got 0.5"),
        ({**LLAMA, "rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "got 0.5"),
        ({**LLAMA, "num_key_value_heads": 3}, "`num_attention_heads` must be a multiple of `num_key_value_heads` (3)"),
        ({**LLAMA, "head_dim": 15}, "a head's width must be even"),
        ({**LLAMA, "rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "default, linear, llama3 on .*, got 'yarn'"),
        ({**LLAMA, "rope_scaling": {"type": "dynamic", "factor": 2.0}}, "got 'dynamic'"),
        ({**MISTRAL, "rope_parameters": {"rope_type": "longrope"}}, "got 'longrope'"),
        ({**QWEN3, "rope_parameters": {"full_attention": {"rope_theta": 9.0}}}, "the same in every layer on portable"),
    ],
)
def test_what_is_not_computed_is_refused_with_the_door_that_serves_it(config: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelError) as caught:
        check_config(config)
    for part in told.split(".*"):
        assert part in str(caught.value)
    assert str(caught.value).endswith("(config.json); use `--set numerics=stock`")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("config", [LLAMA, QWEN2, QWEN3, MISTRAL, {**LLAMA, "pretraining_tp": None}])
def test_the_shapes_are_taken(config: dict[str, Any]) -> None:
    check_config(config)


@pytest.mark.parametrize("key", [key for key in LLAMA3 if key != "rope_type"])
def test_a_scaling_that_does_not_say_how_much_is_refused(key: str) -> None:
    rope = {name: value for name, value in LLAMA3.items() if name != key}
    with pytest.raises(ModelError, match=f"rotary positions of type llama3 must state `{key}` .*, got none"):
        rope_scaling({**LLAMA, "rope_scaling": rope})


@pytest.mark.parametrize(
    ("changes", "sizes"),
    [
        ({}, (4, 2, 16)),
        ({"num_key_value_heads": None}, (4, 4, 16)),
        ({"head_dim": 6}, (4, 2, 6)),
        ({"head_dim": None, "num_key_value_heads": 1}, (4, 1, 16)),
    ],
)
def test_sizes_of_heads(changes: dict[str, Any], sizes: tuple[int, int, int]) -> None:
    assert head_sizes({**LLAMA, **changes}) == sizes


@pytest.mark.parametrize(
    ("changes", "theta", "scaling"),
    [
        ({}, 10000.0, None),
        ({"rope_theta": 5e5, "rope_scaling": None}, 5e5, None),
        ({"rope_scaling": {"type": "linear", "factor": 4}}, 10000.0, LinearScaling(4.0)),
        ({"rope_scaling": LLAMA3, "rope_theta": 5e5}, 5e5, Llama3Scaling(8.0, 1.0, 4.0, 8192)),
        ({"rope_parameters": {**LLAMA3, "rope_theta": 3e5}}, 3e5, Llama3Scaling(8.0, 1.0, 4.0, 8192)),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 7.0}}, 7.0, None),
    ],
)
def test_both_spellings_of_rotary_positions(changes: dict[str, Any], theta: float, scaling: object) -> None:
    config = {**LLAMA, **changes}
    assert (rope_theta(config), rope_scaling(config)) == (theta, scaling)
    theirs = AutoConfig.for_model(**config).rope_parameters
    assert theirs["rope_theta"] == theta
    kinds = {None: "default", LinearScaling: "linear", Llama3Scaling: "llama3"}
    assert theirs["rope_type"] == kinds[None if scaling is None else type(scaling)]


@pytest.mark.parametrize(
    ("config", "windows"),
    [
        ({**LLAMA, "sliding_window": 8}, [None, None]),
        (MISTRAL, [64, 64]),
        ({**MISTRAL, "sliding_window": None}, [None, None]),
        ({key: value for key, value in MISTRAL.items() if key != "sliding_window"}, [4096, 4096]),
        (QWEN2, [None, None]),
        ({**QWEN2, "sliding_window": 8}, [None, None]),
        ({**QWEN2, "sliding_window": 8, "use_sliding_window": True}, [None, None]),
        ({**QWEN2, "sliding_window": 8, "use_sliding_window": True, "max_window_layers": 1}, [None, 8]),
        ({**QWEN2, "use_sliding_window": True, "max_window_layers": 0}, [4096, 4096]),
        ({**QWEN2, "sliding_window": None, "use_sliding_window": True, "max_window_layers": 0}, [None, None]),
        (
            {**QWEN3, "sliding_window": 8, "use_sliding_window": True,
             "layer_types": ["sliding_attention", "full_attention"]},
            [8, None],
        ),
        (
            {**QWEN3, "sliding_window": 8, "use_sliding_window": False,
             "layer_types": ["sliding_attention", "full_attention"]},
            [None, None],
        ),
    ],
)  # fmt: skip
def test_the_window_of_each_layer_is_transformers(config: dict[str, Any], windows: list[int | None]) -> None:
    assert [window_of(config, layer) for layer in range(2)] == windows
    theirs = AutoConfig.for_model(**config)
    if config["model_type"] == "mistral":
        assert [theirs.sliding_window] * 2 == windows
    elif config["model_type"] != "llama":
        kinds = theirs.layer_types
        assert [theirs.sliding_window if kind == "sliding_attention" else None for kind in kinds] == windows
