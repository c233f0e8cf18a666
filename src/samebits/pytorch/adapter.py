"""The base as transformers loads it, and the LoRA adapter as PEFT attaches and names it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from samebits.errors import RecipeError
from samebits.recipe.settings import Settings

ADAPTER_NAME = "default"
# Too many bytes for the allocator, or too many to be counted.
_NO_MEMORY = re.compile("not enough memory|can't allocate memory|Storage size calculation overflowed")


def load_base(folder: Path, attn_implementation: str) -> PreTrainedModel:
    """Load a base in float32 from its safetensors, without a network and without code of the folder's."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        dtype=torch.float32,
        attn_implementation=attn_implementation,
    )
    # transformers maps the files, so that a tensor's place in its file is its alignment, by which stock kernels round.
    # A copy lies as torch lays every tensor: the files' layout is no part of the recipe.
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    return model


def attach_adapter(base: PreTrainedModel, settings: Settings) -> PeftModel:
    """Attach a new adapter; torch's global generator, seeded by the caller, draws its first weights.

    Raises:
        RecipeError: the target modules are not in this base, or the adapter does not fit into memory.
    """
    targets = settings.lora_target_modules
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.lora_r,
        # PEFT's type says int; it divides.
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        use_rslora=settings.use_rslora,
        target_modules="all-linear" if targets == ("all-linear",) else list(targets) if targets else None,
        # GPT-2 keeps its weights transposed.
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in base.modules()),
        bias="none",
    )
    try:
        # mixed=False: an adapter of one kind is a PeftModel.
        return get_peft_model(base, config)
    except ValueError as error:
        raise RecipeError(
            "`lora_target_modules` must name linear layers of the base",
            got=", ".join(targets or ()) or "PEFT's choice for the family",
            remedy=f"PEFT says: {error}",
        ) from error
    except (MemoryError, RuntimeError) as error:
        # torch's allocator on the CPU has no exception class of its own.
        if isinstance(error, RuntimeError) and not _NO_MEMORY.search(str(error)):
            raise
        raise RecipeError(
            "the adapter must fit into memory",
            got=f"r={settings.lora_r}",
            remedy="use a smaller rank: `--set lora_r=16`",
        ) from error


def trained_parameters(model: PeftModel) -> dict[str, torch.nn.Parameter]:
    """Return the parameters that training changes, in the model's order, under the names of PEFT's files."""
    return {
        name.replace(f".{ADAPTER_NAME}.", "."): parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def adapter_config(model: PeftModel) -> dict[str, Any]:
    """Return PEFT's configuration with its target modules resolved."""
    return dict(model.peft_config[ADAPTER_NAME].to_dict())


def arrays(tensors: dict[str, torch.Tensor] | dict[str, torch.nn.Parameter]) -> dict[str, np.ndarray[Any, Any]]:
    """Return NumPy arrays over the memory of tensors; nothing is copied."""
    return {name: tensor.detach().numpy() for name, tensor in tensors.items()}
