"""The public Python names, as the study's users know them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samebits.errors import RecipeError
from samebits.recipe.reader import settings_from

__all__ = ["ReproducibleLoRATrainer"]


class ReproducibleLoRATrainer:
    """Trains one adapter from a mapping of settings and records the run.

    Args:
        config: settings by name or alias (`docs/settings.md`); what is left out has its default.
    Raises:
        RecipeError: no mapping, an unknown key or a value out of bounds.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        if not isinstance(config, Mapping | None):
            raise RecipeError("`config` must be a mapping of settings", got=repr(config)[:100])
        self.settings = settings_from(config or {}, where="config")

    def run_reproducible_training(self, *, resume: bool = False) -> dict[str, Any]:
        """Train, write the run folder, and return `results.json` with `golden_digest` and `output_dir` added.

        Args:
            resume: go on with the killed run in `output_dir`, to the same bits.
        Raises:
            SamebitsError: any bad input; nothing that existed is lost.
        """
        from samebits.record.environment import new_run_folder
        from samebits.record.progress import Silence
        from samebits.study.trainer import trainer

        if resume and not self.settings.output_dir:
            raise RecipeError("`output_dir` must name the run to resume", got="none", where="config")
        out = Path(self.settings.output_dir) if self.settings.output_dir else new_run_folder(self.settings.environment)
        outcome = trainer(self.settings.numerics)(self.settings, out, resume=resume, progress=Silence())
        return {**outcome.results, "golden_digest": outcome.golden_digest, "output_dir": str(out)}
