"""What verification needs of an engine: a training of one recipe on this machine, between two of its steps.

`study.rebuild` makes one; `verify` imports no engine.
"""

from __future__ import annotations

from typing import Any, Protocol

from samebits.record.checkpoint import Checkpoint


class Session(Protocol):
    """One training of a recipe on this machine."""

    recipe: dict[str, Any]
    """The document of `golden/recipe.json`."""

    deciding: dict[str, Any]
    """What decides the bits here beside the recipe, as `observed/execution.json` tells it; empty where nothing does."""

    @property
    def n_steps(self) -> int:
        """Optimizer steps of the whole run."""

    @property
    def step(self) -> int:
        """Optimizer steps done."""

    def restore(self, checkpoint: Checkpoint, where: str) -> None:
        """Go on from a verified checkpoint of this recipe.

        Raises:
            CheckpointError: it cannot be gone on from here.
        """

    def take_step(self) -> dict[str, Any]:
        """Take the next optimizer step and return its trace record."""

    def golden_documents(self) -> dict[str, Any]:
        """Evaluate and generate after the last step; return what `record.documents.write_golden` writes."""
