"""Everything that a run reads, found, checked and digested: the base, its tokenizer, the data, and `recipe.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from samebits.canonical.digests import sha256_bytes
from samebits.data.dataset import PreparedData, prepare
from samebits.data.tokenizer import Tokenizer, load_tokenizer
from samebits.errors import ModelError, RecipeError
from samebits.models.base import DEFAULT_TARGETS, Base, find_base
from samebits.models.shapes import context_tokens
from samebits.numerics.ops import NUMERICS_VERSION
from samebits.recipe.settings import STEP_LEVEL, STOCK, Settings, total_train_batch_size, values_with_role
from samebits.record.layout import RECORD_VERSION
from samebits.record.recording import Recording


@dataclass(frozen=True)
class Inputs:
    """What an engine trains on, and the recipe document that stands for it."""

    base: Base
    tokenizer: Tokenizer
    data: PreparedData
    recipe: dict[str, Any]


def find_inputs(settings: Settings) -> Inputs:
    """Find and check what the settings name, and write down the recipe: models and data by digest, never by path.

    Raises:
        SamebitsError: a base, tokenizer or dataset cannot be used.
    """
    base = find_base(settings.model_name_or_path, settings.model_revision)
    context = context_tokens(base.config)
    if settings.max_length > context:
        raise RecipeError(
            f"`max_length` must be at most the {context} tokens that the base can read", got=str(settings.max_length)
        )
    tokenizer = load_tokenizer(base.folder)
    vocabulary = base.config["vocab_size"]
    if tokenizer.vocab_size > vocabulary:
        raise ModelError(
            f"the base must know every token of its tokenizer ({tokenizer.vocab_size})",
            got=f"`vocab_size` {vocabulary}",
            where=str(base.folder),
        )
    data = prepare(settings, tokenizer)
    template = tokenizer.chat_template
    recipe = {
        "record_version": RECORD_VERSION,
        "numerics": settings.numerics,
        **({} if settings.numerics == STOCK else {"numerics_version": NUMERICS_VERSION}),
        "settings": _resolved(settings, base, data),
        "base": {
            **base.document,
            "tokenizer_sha256": tokenizer.sha256,
            "chat_template_sha256": sha256_bytes(template.encode()) if template is not None else None,
        },
        "data": data.document,
    }
    return Inputs(base, tokenizer, data, recipe)


def _resolved(settings: Settings, base: Base, data: PreparedData) -> dict[str, Any]:
    """What was left out and what was found out are one recipe with what was stated."""
    values = values_with_role(settings, "recipe")
    if settings.numerics != STOCK:
        values["total_train_batch_size"] = total_train_batch_size(settings)
    return {
        **values,
        "lora_target_modules": values["lora_target_modules"] or list(DEFAULT_TARGETS[base.config["model_type"]]),
        "dataset_schema": data.document["train"]["schema"],
        "data_seed": settings.seed if settings.data_seed is None else settings.data_seed,
    }


def recording_of(settings: Settings, inputs: Inputs) -> Recording:
    """Return how the settings want a training on these inputs to be recorded."""
    return Recording(
        recipe=inputs.recipe,
        origin=inputs.base.origin,
        environment=settings.environment,
        trace_level=None if settings.trace_level == STEP_LEVEL else settings.trace_level,
        save_steps=settings.save_steps,
        save_total_limit=settings.save_total_limit,
        notes=inputs.data.notes,
    )
