"""Everything that PyTorch lets a program decide about repeatability, set in one place and asked back.

None of it makes two machines agree: that is what the study measures. It removes what differs from run to run.
"""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.utils.deterministic

from samebits.errors import RecipeError
from samebits.pytorch.doctor import examine
from samebits.pytorch.seeds import seed_generators
from samebits.recipe.reader import settings_from
from samebits.record.execution import default_threads

ENVIRONMENT = {
    # cuBLAS repeats itself only with a fixed workspace.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    # Recipes are for the CPU: a GPU that a library finds by itself must not take part.
    "CUDA_VISIBLE_DEVICES": "",
    # The tokenizer's own thread pool warns after a fork and brings nothing to a data set of this size.
    "TOKENIZERS_PARALLELISM": "false",
}
"""Variables set for this process and its children; PYTHONHASHSEED is not among them, for Python has read it already."""


class DeterministicConfig:
    """The switches for repeatable training, under the names that the study's users know."""

    @staticmethod
    def setup_deterministic_environment(seed: int = 42) -> None:
        """Seed Python, NumPy and torch, turn on every deterministic mode, and fix the number of threads.

        Args:
            seed: from 0, below 2**32.
        Raises:
            RecipeError: the seed is no whole number, or out of bounds.
            UsageError: OMP_NUM_THREADS is not a number from 1 to 1024.
        """
        if type(seed) is not int or not 0 <= seed < 2**32:
            raise RecipeError("`seed` must be a whole number from 0, below 2**32", got=repr(seed)[:100])
        os.environ.update(ENVIRONMENT)
        seed_generators(seed)
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = True
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        torch.set_num_threads(default_threads())

    @staticmethod
    def validate_deterministic_setup() -> tuple[bool, list[str]]:
        """Measure the doctor's seven points here; return whether all hold, and a sentence for each."""
        checks = examine()
        marks = {True: "ok", False: "not ok", None: "cannot tell"}
        return (
            all(check.ok for check in checks),
            [f"{marks[check.ok]}: {check.name}: {check.measured}" for check in checks],
        )

    @staticmethod
    def get_training_config() -> dict[str, Any]:
        """Return every setting that has a default, by name: a mapping that `ReproducibleLoRATrainer` takes."""
        defaults = settings_from({}, where="defaults").model_dump(mode="json")
        return {name: value for name, value in defaults.items() if value is not None}
