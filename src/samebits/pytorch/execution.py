"""How a stock run's work is cut up on this machine: threads, kernels, libraries."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

import torch

from samebits.recipe.settings import Settings, values_with_role
from samebits.record.execution import default_threads

LIBRARIES = ("torch", "transformers", "peft", "numpy", "tokenizers", "safetensors")


def set_threads(settings: Settings) -> None:
    """Give torch the threads that the settings ask for.

    Raises:
        UsageError: OMP_NUM_THREADS is not a number from 1 to MAX_THREADS.
    """
    torch.set_num_threads(settings.threads or default_threads())


def deciding_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the bits of stock kernels beside the recipe, as far as this machine can tell.

    Args:
        facts: of `facts.torch_facts`, asked after the threads were set.
    """
    return {
        "isa": facts["cpu_capability"],
        "n_threads": facts["n_threads"],
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "probes": facts["probes"],
    }


def execution_document(settings: Settings, facts: Mapping[str, Any], environment: str) -> dict[str, Any]:
    """Return `observed/execution.json`; its thread count is what torch says it has, not what was asked for.

    Args:
        facts: of `facts.torch_facts`, asked after the threads were set.
        environment: of `environment.environment_name`.
    """
    return {**values_with_role(settings, "execution"), "environment": environment, **deciding_facts(facts)}
