"""What verification needs of an engine: a training of one recipe on this machine, between two of its steps.

`study.rebuild` makes one; `verify` imports no engine.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any, Protocol

from samebits.record.checkpoint import Checkpoint
from samebits.record.operations import Level, OperationTrace


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

    @property
    def records(self) -> Sequence[Mapping[str, Any]]:
        """The trace so far: a record for each step done."""

    def restore(self, checkpoint: Checkpoint, where: str) -> None:
        """Go on from a verified checkpoint of this recipe.

        Raises:
            CheckpointError: it cannot be gone on from here.
        """

    def take_step(self) -> dict[str, Any]:
        """Take the next optimizer step and return its trace record."""

    def trace_step(self, level: Level, keep: Container[int] = ()) -> OperationTrace:
        """Take the next optimizer step and return the digests of its outputs; the trace record is as `take_step`'s.

        Args:
            level: of `record.operations`.
            keep: numbers of the outputs whose tensors are kept too, in memory; `range(1, MAX_OUTPUTS)` keeps all.
        """

    def golden_documents(self) -> dict[str, Any]:
        """Evaluate and generate after the last step; return what `record.documents.write_golden` writes."""
