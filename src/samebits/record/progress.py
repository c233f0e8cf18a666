"""What a training run tells while it goes on; who listens decides how to show it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told about each stage of a run, in order."""

    def on_start(self, n_steps: int, first_step: int) -> None:
        """Training begins at `first_step`, counted from 1, of `n_steps`."""

    def on_step(self, step: int, loss: float, learning_rate: float, grad_norm: float) -> None:
        """One optimizer step is done."""

    def on_note(self, text: str) -> None:
        """One sentence for the user."""

    def on_finish(self) -> None:
        """The run folder is complete, or the run has failed."""


class Silence:
    """A listener that shows nothing."""

    def on_start(self, n_steps: int, first_step: int) -> None:
        """Show nothing."""

    def on_step(self, step: int, loss: float, learning_rate: float, grad_norm: float) -> None:
        """Show nothing."""

    def on_note(self, text: str) -> None:
        """Show nothing."""

    def on_finish(self) -> None:
        """Show nothing."""
