"""What a configuration of the Llama family says, in transformers' old and new spelling, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from samebits.errors import ModelError
from samebits.numerics.rotary import LinearScaling, Llama3Scaling

DEFAULT_THETA = 10000.0
# transformers' own, for what a configuration leaves out.
DEFAULT_WINDOW = 4096
DEFAULT_WINDOWED_FROM = 28
ROPE_TYPES = ("default", "linear", "llama3")
_LLAMA3_KEYS = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")


def check_config(config: Mapping[str, Any]) -> None:
    """Refuse a configuration that portable arithmetic does not compute.

    Raises:
        ModelError: the key, and the door that serves it.
    """
    heads, key_heads, head_width = head_sizes(config)
    for key, allowed in (("hidden_act", ("silu",)), ("pretraining_tp", (1, None)), ("partial_rotary_factor", (1, 1.0))):
        if (found := config.get(key, allowed[0])) not in allowed:
            raise _refused(f"`{key}` must be {allowed[0]}", repr(found))
    if heads % key_heads:
        raise _refused(f"`num_attention_heads` must be a multiple of `num_key_value_heads` ({key_heads})", str(heads))
    if head_width % 2:
        raise _refused("a head's width must be even, for rotary positions turn pairs", str(head_width))
    if any(isinstance(value, Mapping) for value in _rope(config).values()):
        raise _refused("rotary positions must be the same in every layer", "some for each kind of layer")
    if (found := _rope(config).get("rope_type", "default")) not in ROPE_TYPES:
        raise _refused(f"rotary positions must be of type {', '.join(ROPE_TYPES)}", repr(found))
    if (found := _rope(config).get("partial_rotary_factor", 1)) != 1:
        raise _refused("`partial_rotary_factor` must be 1", repr(found))


def head_sizes(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return heads, key heads, and the width of each."""
    heads = config["num_attention_heads"]
    return heads, config.get("num_key_value_heads") or heads, config.get("head_dim") or config["hidden_size"] // heads


def rope_theta(config: Mapping[str, Any]) -> float:
    """Return the base of the rotary frequencies."""
    return float(_rope(config).get("rope_theta") or config.get("rope_theta") or DEFAULT_THETA)


def rope_scaling(config: Mapping[str, Any]) -> LinearScaling | Llama3Scaling | None:
    """Return how the rotary frequencies are changed, or None.

    Raises:
        ModelError: a key of the scaling is missing.
    """
    rope = _rope(config)
    kind = rope.get("rope_type", "default")
    if kind == "default":
        return None
    keys = ("factor",) if kind == "linear" else _LLAMA3_KEYS
    if missing := [key for key in keys if not isinstance(rope.get(key), int | float)]:
        raise _refused(f"rotary positions of type {kind} must state `{missing[0]}`", "none")
    if kind == "linear":
        return LinearScaling(float(rope["factor"]))
    factor, low, high, original = (rope[key] for key in _LLAMA3_KEYS)
    return Llama3Scaling(float(factor), float(low), float(high), int(original))


def window_of(config: Mapping[str, Any], layer: int) -> int | None:
    """Return how many keys a query of this layer sees at most, or None for all before it."""
    family, window = config["model_type"], config.get("sliding_window", DEFAULT_WINDOW)
    if family == "llama" or window is None:
        return None
    if family == "mistral":
        return int(window)
    # Qwen: off unless it is switched on, and then from one layer on, or in the layers that are listed.
    if not config.get("use_sliding_window", False):
        return None
    kinds = config.get("layer_types")
    if kinds is not None:
        return int(window) if kinds[layer] == "sliding_attention" else None
    return int(window) if layer >= config.get("max_window_layers", DEFAULT_WINDOWED_FROM) else None


def _rope(config: Mapping[str, Any]) -> Mapping[str, Any]:
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    if "type" in rope:
        rope.setdefault("rope_type", rope["type"])
    return rope


def _refused(must: str, got: str) -> ModelError:
    return ModelError(
        f"{must} on portable arithmetic", got=got, where="config.json", remedy="use `--set numerics=stock`"
    )
