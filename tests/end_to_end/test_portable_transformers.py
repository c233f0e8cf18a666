"""The portable models against transformers and PEFT: logits, losses, LoRA gradients, and what is generated greedily.

Two arithmetics are compared here, which round each sum in their own order, so that a bound is right, which is nowhere
else: transformers in float64 is the truth, and ours may lie `TIMES` as far from it as transformers in float32 does, in
shares of a tensor's largest value. A wrong rotation, mask, bias or scale is off by orders of magnitude more. Within one
arithmetic, as in cached against uncached decoding, bits are compared.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from samebits.canonical.safetensors_file import write_safetensors
from samebits.data.dataset import TokenSample
from samebits.models.base import FAMILIES, find_base
from samebits.models.decoder import Decoder
from samebits.models.families import AdaptedModel, adapt
from samebits.models.generation import continue_greedily
from samebits.models.noise import Noise
from samebits.models.pack import pack_samples, pack_tokens
from samebits.models.seeded import write_base
from samebits.models.shapes import SHAPES, tensors_of
from samebits.recipe.reader import settings_from
from samebits.recipe.settings import Settings

pytestmark = pytest.mark.usefixtures("native_libraries")

# Measured: ours is from 0.6 to 3.4 times as far off as theirs, and theirs at most 2.1e-5.
TIMES = 8
LEAST = 2e-6
N_TOKENS = 24

GPT2 = {**SHAPES["gpt2-tiny"][1], "vocab_size": 97, "n_positions": 40, "n_embd": 24, "n_head": 3}
LLAMA_SIZES = {
    "vocab_size": 97, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 6,
    "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip
LLAMA, QWEN2, QWEN3, MISTRAL = (
    {**SHAPES[f"{family}-tiny"][1], **LLAMA_SIZES} for family in ("llama", "qwen2", "qwen3", "mistral")
)
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip

CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": GPT2,
    "gpt2, own head, wide middle, gelu": {
        **GPT2, "tie_word_embeddings": False, "n_inner": 33, "activation_function": "gelu", "n_layer": 3,
    },
    "gpt2, relu, another epsilon": {**GPT2, "activation_function": "relu", "layer_norm_epsilon": 1e-2, "n_head": 1},
    "gpt2, silu": {**GPT2, "activation_function": "silu", "n_head": 24},
    "gpt2, gelu_pytorch_tanh": {**GPT2, "activation_function": "gelu_pytorch_tanh", "n_embd": 18},
    "llama": LLAMA,
    "llama, one key head, wide heads, biases, tied": {
        **LLAMA, "num_key_value_heads": 1, "head_dim": 10, "attention_bias": True, "mlp_bias": True,
        "tie_word_embeddings": True,
    },
    "llama, all heads of their own, llama3 positions": {
        **LLAMA, "num_key_value_heads": 6, "rope_scaling": LLAMA3, "rope_theta": 500.0,
    },
    "llama, linear positions, new spelling, another epsilon": {
        **LLAMA, "rope_parameters": {"rope_type": "linear", "factor": 2.5, "rope_theta": 100.0}, "rms_norm_eps": 1e-2,
    },
    "llama, linear positions, oldest spelling": {**LLAMA, "rope_scaling": {"type": "linear", "factor": 4.0}},
    "qwen2": QWEN2,
    "qwen2, own head, a window in the last layer": {
        **QWEN2, "tie_word_embeddings": False, "use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1,
        "num_hidden_layers": 3,
    },
    "qwen2, a window that is switched off": {**QWEN2, "use_sliding_window": False, "sliding_window": 5},
    "qwen3": QWEN3,
    "qwen3, biases, listed windows": {
        **QWEN3, "attention_bias": True, "use_sliding_window": True, "sliding_window": 6, "head_dim": 8,
        "layer_types": ["sliding_attention", "full_attention"], "tie_word_embeddings": False,
    },
    "mistral, a window that bites": {**MISTRAL, "sliding_window": 7},
    "mistral, no window, wide heads": {**MISTRAL, "sliding_window": None, "head_dim": 6},
    "mistral, a window of two": {**MISTRAL, "sliding_window": 2},
}  # fmt: skip


def _write_base(folder: Path, config: dict[str, Any], seed: int, dtype: torch.dtype = torch.float32) -> None:
    """A base with random norms and biases too: an exchange or an omission of any tensor must show."""
    generator = np.random.default_rng(seed)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {}
    for name, tensor in tensors_of(config).items():
        drawn = generator.standard_normal(tensor.shape, dtype=np.float32) * np.float32(0.25)
        tensors[name] = torch.from_numpy(drawn + np.float32(tensor.value or 0)).to(dtype)
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _settings(base: Path, **values: Any) -> Settings:
    stated = {"model_name_or_path": str(base), "lora_target_modules": ["all-linear"], "lora_dropout": 0.0, "lora_r": 3}
    return settings_from({"numerics": "portable-f32", **stated, **values}, where="test")


def _adapted(settings: Settings, seed: int = 0) -> AdaptedModel:
    """The portable model with an adapter whose B is not zero: at zero, A would have no gradient."""
    adapted = adapt(find_base(settings.model_name_or_path, None), settings)
    generator = np.random.default_rng(seed)
    for name, tensor in adapted.parameters.items():
        if name.endswith("lora_B.weight"):
            tensor[...] = generator.standard_normal(tensor.shape, dtype=np.float32) * np.float32(0.1)
    return adapted


def _in_peft(base: Path, settings: Settings, adapted: AdaptedModel) -> PeftModel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
        targets = list(settings.lora_target_modules or ())
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=settings.lora_r,
            lora_alpha=int(settings.lora_alpha),
            target_modules="all-linear" if targets == ["all-linear"] else targets,
            fan_in_fan_out=adapted.peft_config["fan_in_fan_out"],
            use_rslora=settings.use_rslora,
        )
        model = get_peft_model(model, config).eval()
    trained = _trained(model)
    assert trained.keys() == adapted.parameters.keys()
    for name, tensor in adapted.parameters.items():
        trained[name].data.copy_(torch.from_numpy(tensor.copy()))
    return model


def _trained(model: PeftModel) -> dict[str, torch.nn.Parameter]:
    return {name.replace(".default.", "."): p for name, p in model.named_parameters() if p.requires_grad}


def _samples(n_tokens: int, seed: int = 0) -> list[TokenSample]:
    """Three samples, the targets in the middle, at the end, and scattered."""
    generator = np.random.default_rng(seed)
    samples = []
    for index, length in enumerate((n_tokens, n_tokens - 5, 9)):
        ids = tuple(generator.integers(0, 97, length).tolist())
        is_target = [False] * length
        for place in {0: range(6, n_tokens - 3), 1: range(8, length), 2: (1, 3, 4, 8)}[index]:
            is_target[place] = True
        samples.append(TokenSample(index, index + 1, "text", ids, tuple(is_target)))
    return samples


def _logits(model: Decoder, ids: Sequence[int]) -> np.ndarray[Any, Any]:
    """The logits after every token, each from one pass over all tokens up to it, [T, V]."""
    n = range(1, len(ids) + 1)
    return np.stack([model.next_logits(pack_tokens(ids[:stop]), model.new_caches(stop)) for stop in n])


def _reference(model: PeftModel, sample: TokenSample) -> dict[str, np.ndarray[Any, Any]]:
    """Return transformers' logits, its loss summed over the targets, and PEFT's gradients."""
    model.zero_grad()
    ids = torch.tensor([sample.input_ids])
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
    targets = [place for place, is_target in enumerate(sample.is_target) if is_target]
    predicted = logits[[place - 1 for place in targets]]
    loss = torch.nn.functional.cross_entropy(predicted, ids[0, targets], reduction="sum")
    loss.backward()
    gradients = {name: p.grad.numpy().copy() for name, p in _trained(model).items() if p.grad is not None}
    return {"loss": loss.detach().numpy().reshape(1), "logits": logits.detach().numpy(), **gradients}


def _error(actual: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> float:
    """Return the largest difference as a share of the largest value."""
    assert actual.shape == expected.shape
    return float(np.abs(actual.astype(np.float64) - expected).max() / np.abs(expected).max())


# One on every block's layers and, tied or not, on the head; one on the head alone.
HEAD_TARGETS: dict[str, tuple[str, list[str]]] = {
    "gpt2, with its tied head": ("gpt2", ["c_attn", "c_fc", "lm_head"]),
    "gpt2, with a head of its own": ("gpt2, own head, wide middle, gelu", ["c_proj", "lm_head"]),
    "llama, with its head": ("llama", ["q_proj", "down_proj", "lm_head"]),
    "qwen2, its tied head alone": ("qwen2", ["lm_head"]),
}


@pytest.mark.parametrize("name", [*CONFIGS, *HEAD_TARGETS])
def test_logits_losses_and_gradients_are_those_of_transformers_and_peft_but_for_rounding(
    name: str, tmp_path: Path
) -> None:
    config, targets = HEAD_TARGETS.get(name, (name, ["all-linear"]))
    seed = [*CONFIGS, *HEAD_TARGETS].index(name)
    _write_base(tmp_path / "base", CONFIGS[config], seed)
    settings = _settings(tmp_path / "base", use_rslora=seed % 2 == 1, lora_target_modules=targets)
    adapted = _adapted(settings)
    reference = _in_peft(tmp_path / "base", settings, adapted)
    samples = _samples(N_TOKENS)
    flats = [np.full(adapted.tensors.size, np.nan, dtype=np.float32) for _ in samples]
    losses = adapted.model.losses_and_gradients(
        pack_samples(samples), Noise(0), [adapted.tensors.views(flat) for flat in flats], keeps_activations=True
    )
    assert losses == adapted.model.sample_losses(pack_samples(samples), Noise(0))
    single = [_reference(reference, sample) for sample in samples]
    double = [_reference(reference.double(), sample) for sample in samples]
    ours = [
        {"loss": np.array([loss], np.float32), "logits": _logits(adapted.model, sample.input_ids)}
        | adapted.tensors.views(flat)
        for sample, flat, loss in zip(samples, flats, losses, strict=True)
    ]
    for actual, theirs, expected in zip(ours, single, double, strict=True):
        bounds = {name: LEAST + TIMES * _error(theirs[name], expected[name]) for name in expected}
        assert max(bounds.values()) < 5e-4, "an ill-conditioned model compares nothing"
        errors = {name: _error(actual[name], expected[name]) for name in expected}
        assert {name: error for name, error in errors.items() if error > bounds[name]} == {}


@pytest.mark.parametrize("change", ["window", "positions", "heads"])
def test_the_bound_sees_a_model_that_is_a_little_another(change: str, tmp_path: Path) -> None:
    """What the comparison above rests on: one key more in sight, positions off by a little, heads grouped otherwise."""
    theirs = {**MISTRAL, "sliding_window": 7}
    ours = {"window": {"sliding_window": 8}, "positions": {"rope_theta": 8000.0}, "heads": {}}[change]
    _write_base(tmp_path / "theirs", theirs, seed=1)
    _write_base(tmp_path / "ours", {**theirs, **ours}, seed=1)
    if change == "heads":
        file = tmp_path / "ours" / "model.safetensors"
        tensors = safetensors.numpy.load_file(file)
        name = "model.layers.1.self_attn.k_proj.weight"
        tensors[name] = np.concatenate([tensors[name][4:], tensors[name][:4]])
        write_safetensors(file, tensors)
    settings = _settings(tmp_path / "ours")
    adapted = _adapted(settings)
    reference = _in_peft(tmp_path / "theirs", settings, adapted)
    ids = _samples(N_TOKENS)[0].input_ids
    with torch.no_grad():
        expected = reference(input_ids=torch.tensor([ids])).logits[0].numpy()
    assert _error(_logits(adapted.model, ids), expected) > 1e-2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_half_precision_files_are_read_exactly(family: str, dtype: torch.dtype, tmp_path: Path) -> None:
    config = {"gpt2": GPT2, "llama": LLAMA}[family]
    _write_base(tmp_path / "half", config, seed=2, dtype=dtype)
    # The same values, written out as float32 by torch.
    (tmp_path / "single").mkdir()
    tensors = safetensors.torch.load_file(tmp_path / "half" / "model.safetensors")
    single_tensors = {name: tensor.float() for name, tensor in tensors.items()}
    safetensors.torch.save_file(single_tensors, tmp_path / "single" / "model.safetensors")
    (tmp_path / "single" / "config.json").write_text(json.dumps(config))
    ids = _samples(N_TOKENS)[0].input_ids
    half, single = (_logits(_adapted(_settings(tmp_path / name)).model, ids) for name in ("half", "single"))
    assert half.tobytes() == single.tobytes()
    assert find_base(str(tmp_path / "half"), None).weight_dtypes == ({"float16": "F16"}.get(str(dtype)[6:], "BF16"),)


@pytest.mark.parametrize(
    ("family", "targets"), [*((family, "all-linear") for family in FAMILIES), ("gpt2", "lm_head"), ("llama", "lm_head")]
)
def test_what_is_generated_greedily_is_what_transformers_generates(family: str, targets: str, tmp_path: Path) -> None:
    write_base(f"{family}-tiny", 11, tmp_path / "base")
    settings = _settings(tmp_path / "base", lora_target_modules=[targets])
    adapted = _adapted(settings)
    reference = _in_peft(tmp_path / "base", settings, adapted)
    for seed in range(3):
        ids = np.random.default_rng(seed).integers(1, 512, 70).tolist()
        new_ids, logits = continue_greedily(adapted.model, ids, 12, eos_token_id=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = reference.generate(
                input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.int64),
                max_new_tokens=12, do_sample=False, pad_token_id=0, eos_token_id=0,
            )  # fmt: skip
        assert new_ids == expected[0, len(ids) :].tolist()
        # One token at a time over kept keys and values, and all at once: the same bits.
        sequence = [*ids, *new_ids[:-1]]
        whole = _logits(adapted.model, sequence)[len(ids) - 1 :]
        assert whole.tobytes() == logits.tobytes()
