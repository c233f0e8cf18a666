"""Shapes of seeded bases: each a `config.json` as its family knows it, and the tensors that such a model holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

END_OF_TEXT_ID = 0
"""Id of `<|endoftext|>` in the bundled tokenizer, which every seeded base carries: begin, end and padding."""

COMPUTED_BUFFERS = re.compile(r"(.*\.)?(attn\.(bias|masked_bias)|rotary_emb\.inv_freq)")
"""Names of what older versions of transformers stored beside the weights, and newer ones compute and never read."""


@dataclass(frozen=True)
class TensorShape:
    """One tensor of a base: its shape, and how it is filled: with one value, or drawn with a variance."""

    shape: tuple[int, ...]
    value: int | None = None
    variance: Fraction | None = None


def _gpt2(n_layer: int, n_embd: int, n_head: int, vocab_size: int, n_positions: int, spread: float) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": vocab_size,
        "n_positions": n_positions,
        "n_embd": n_embd,
        "n_layer": n_layer,
        "n_head": n_head,
        "activation_function": "gelu_new",
        "resid_pdrop": 0.1,
        "embd_pdrop": 0.1,
        "attn_pdrop": 0.1,
        "layer_norm_epsilon": 1e-5,
        "initializer_range": spread,
        "tie_word_embeddings": True,
        **_ENDINGS,
    }


def _llama_like(
    family: str, architecture: str, sizes: tuple[int, int, int, int, int, int], **more: Any
) -> dict[str, Any]:
    hidden, inner, layers, heads, key_heads, vocabulary = sizes
    return {
        "architectures": [architecture],
        "model_type": family,
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_heads,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        **_ENDINGS,
        **more,
    }


_ENDINGS = {
    "dtype": "float32",
    "bos_token_id": END_OF_TEXT_ID,
    "eos_token_id": END_OF_TEXT_ID,
    "pad_token_id": END_OF_TEXT_ID,
}

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2-tiny": ("the bundled model: 2 layers, 64 wide", _gpt2(2, 64, 4, 512, 512, 0.125)),
    "gpt2-micro": ("2 layers, 16 wide: small enough for the reference engine", _gpt2(2, 16, 2, 512, 64, 0.125)),
    "gpt2-small": ("GPT-2's and DialoGPT-small's shape", _gpt2(12, 768, 12, 50257, 1024, 0.02)),
    "gpt2-medium": ("GPT-2 medium's and DialoGPT-medium's shape", _gpt2(24, 1024, 16, 50257, 1024, 0.02)),
    "llama-tiny": (
        "a Llama of 2 layers, 64 wide, 4 heads over 2 key heads",
        _llama_like(
            "llama", "LlamaForCausalLM", (64, 176, 2, 4, 2, 512),
            max_position_embeddings=512, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=False,
        ),
    ),
    "llama-micro": (
        "a Llama of 2 layers, 16 wide, 2 heads over 1 key head: small enough for the reference engine",
        _llama_like(
            "llama", "LlamaForCausalLM", (16, 40, 2, 2, 1, 512),
            max_position_embeddings=64, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=False,
        ),
    ),
    "llama-1b": (
        "TinyLlama 1.1B's shape",
        _llama_like(
            "llama", "LlamaForCausalLM", (2048, 5632, 22, 32, 4, 32000),
            max_position_embeddings=2048, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=False,
        ),
    ),
    "qwen2-tiny": (
        "a Qwen2 of 2 layers, 64 wide, biases on q, k and v",
        _llama_like(
            "qwen2", "Qwen2ForCausalLM", (64, 176, 2, 4, 2, 512),
            max_position_embeddings=512, rms_norm_eps=1e-6, rope_theta=1000000.0, tie_word_embeddings=True,
        ),
    ),
    "qwen2-0.5b": (
        "Qwen2 0.5B's shape",
        _llama_like(
            "qwen2", "Qwen2ForCausalLM", (896, 4864, 24, 14, 2, 151936),
            max_position_embeddings=32768, rms_norm_eps=1e-6, rope_theta=1000000.0, tie_word_embeddings=True,
        ),
    ),
    "qwen3-tiny": (
        "a Qwen3 of 2 layers, 64 wide, heads of 32, norms on q and k",
        _llama_like(
            "qwen3", "Qwen3ForCausalLM", (64, 176, 2, 4, 2, 512), head_dim=32,
            max_position_embeddings=512, rms_norm_eps=1e-6, rope_theta=1000000.0, tie_word_embeddings=True,
        ),
    ),
    "mistral-tiny": (
        "a Mistral of 2 layers, 64 wide, a sliding window of 64",
        _llama_like(
            "mistral", "MistralForCausalLM", (64, 176, 2, 4, 2, 512),
            max_position_embeddings=512, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=False,
            sliding_window=64,
        ),
    ),
}  # fmt: skip
"""Name of each shape, what it is, and its configuration."""


def context_key(family: str) -> str:
    """Return the key of a family's configuration that says how many tokens it can read."""
    return "n_positions" if family == "gpt2" else "max_position_embeddings"


def context_tokens(config: Mapping[str, Any]) -> int:
    """Return the most tokens that a model of this configuration can read."""
    return int(config[context_key(config["model_type"])])


def tensors_of(config: Mapping[str, Any]) -> dict[str, TensorShape]:
    """Return the tensors of a shape, sorted by name, with the family's own spread of initial values.

    Every matrix and embedding has the variance initializer_range**2; GPT-2's projections back into the residual
    stream (`c_proj`) have that divided by 2 * n_layer. Norms are 1, biases 0, a tied head is not stored.

    Source: Radford et al., "Language models are unsupervised multitask learners", 2019, section 2.3; transformers'
    `_init_weights` of each family.
    """
    tensors = _gpt2_tensors(config) if config["model_type"] == "gpt2" else _llama_tensors(config)
    return {name: tensors[name] for name in sorted(tensors)}


def _gpt2_tensors(config: Mapping[str, Any]) -> dict[str, TensorShape]:
    width, layers = config["n_embd"], config["n_layer"]
    inner = config.get("n_inner") or 4 * width
    variance = Fraction(str(config["initializer_range"])) ** 2
    residual = variance / (2 * layers)
    tensors = {
        "transformer.wte.weight": TensorShape((config["vocab_size"], width), variance=variance),
        "transformer.wpe.weight": TensorShape((config["n_positions"], width), variance=variance),
        "transformer.ln_f.weight": TensorShape((width,), value=1),
        "transformer.ln_f.bias": TensorShape((width,), value=0),
    }
    if not config.get("tie_word_embeddings", True):
        tensors["lm_head.weight"] = TensorShape((config["vocab_size"], width), variance=variance)
    for layer in range(layers):
        block = f"transformer.h.{layer}"
        for norm in ("ln_1", "ln_2"):
            tensors[f"{block}.{norm}.weight"] = TensorShape((width,), value=1)
            tensors[f"{block}.{norm}.bias"] = TensorShape((width,), value=0)
        for module, n_in, n_out, spread in (
            ("attn.c_attn", width, 3 * width, variance),
            ("attn.c_proj", width, width, residual),
            ("mlp.c_fc", width, inner, variance),
            ("mlp.c_proj", inner, width, residual),
        ):
            # GPT-2 stores its matrices as [in, out].
            tensors[f"{block}.{module}.weight"] = TensorShape((n_in, n_out), variance=spread)
            tensors[f"{block}.{module}.bias"] = TensorShape((n_out,), value=0)
    return tensors


def _llama_tensors(config: Mapping[str, Any]) -> dict[str, TensorShape]:
    width, inner, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads = config["num_attention_heads"]
    head_width = config.get("head_dim") or width // heads
    query_width, key_width = heads * head_width, (config.get("num_key_value_heads") or heads) * head_width
    variance = Fraction(str(config["initializer_range"])) ** 2
    tensors = {
        "model.embed_tokens.weight": TensorShape((vocabulary, width), variance=variance),
        "model.norm.weight": TensorShape((width,), value=1),
    }
    if not config.get("tie_word_embeddings", False):
        tensors["lm_head.weight"] = TensorShape((vocabulary, width), variance=variance)
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{block}.{norm}.weight"] = TensorShape((width,), value=1)
        if config["model_type"] == "qwen3":
            for norm in ("q_norm", "k_norm"):
                tensors[f"{block}.self_attn.{norm}.weight"] = TensorShape((head_width,), value=1)
        for module, n_out, n_in in (
            ("self_attn.q_proj", query_width, width),
            ("self_attn.k_proj", key_width, width),
            ("self_attn.v_proj", key_width, width),
            ("self_attn.o_proj", width, query_width),
            ("mlp.gate_proj", inner, width),
            ("mlp.up_proj", inner, width),
            ("mlp.down_proj", width, inner),
        ):
            tensors[f"{block}.{module}.weight"] = TensorShape((n_out, n_in), variance=variance)
            if _has_bias(config, module):
                tensors[f"{block}.{module}.bias"] = TensorShape((n_out,), value=0)
    return tensors


def _has_bias(config: Mapping[str, Any], module: str) -> bool:
    part, projection = module.split(".")
    if config["model_type"] == "qwen2":
        return projection in ("q_proj", "k_proj", "v_proj")
    if config["model_type"] == "qwen3":
        return part == "self_attn" and bool(config.get("attention_bias", False))
    key = "attention_bias" if part == "self_attn" else "mlp_bias"
    return config["model_type"] == "llama" and bool(config.get(key, False))
