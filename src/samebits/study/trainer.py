"""Which engine serves a numerics profile."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from samebits.recipe.settings import STOCK, Settings
from samebits.record.outcome import TrainingOutcome
from samebits.record.progress import Progress


class Trainer(Protocol):
    """What every engine offers."""

    def __call__(self, settings: Settings, out: Path, *, resume: bool, progress: Progress) -> TrainingOutcome:
        """Train one adapter and write the run folder; with `resume`, go on from the newest checkpoint in it."""


def trainer(numerics: str) -> Trainer:
    """Return the engine of a numerics profile; no other engine's libraries are imported.

    Raises:
        MissingExtraError: stock is asked for, and torch, transformers or PEFT is not installed.
    """
    if numerics != STOCK:
        from samebits.training.portable import train

        return train
    from samebits.pytorch.extra import require_torch

    require_torch()
    from samebits.pytorch.stock import train as stock_train

    return stock_train
