"""How a training run shows itself: lines, on a terminal with a bar below them; both on stderr."""

from __future__ import annotations

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from samebits.errors import printable


class Lines:
    """One line for every `logging_steps` steps, and for the last one; notes as they come."""

    def __init__(self, logging_steps: int) -> None:
        self._logging_steps, self._n_steps = logging_steps, 0

    def print_line(self, text: str) -> None:
        """Print one line."""
        click.echo(text, err=True)

    def on_start(self, n_steps: int, first_step: int) -> None:
        """Keep the number of steps."""
        self._n_steps = n_steps

    def on_step(self, step: int, loss: float, learning_rate: float, grad_norm: float) -> None:
        """Print a line where one is due."""
        if step % self._logging_steps == 0 or step == self._n_steps:
            text = f"step {step}/{self._n_steps}  loss {loss:.6f}  lr {learning_rate:.3e}  grad norm {grad_norm:.4f}"
            self.print_line(text)

    def on_note(self, text: str) -> None:
        """Print the note."""
        self.print_line(f"note: {printable(text)}")

    def on_finish(self) -> None:
        """Leave the lines as they are."""


class Bar(Lines):
    """The same lines, and below them a progress bar with the last step's loss."""

    def __init__(self, logging_steps: int) -> None:
        super().__init__(logging_steps)
        self._console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[loss]}"),
            TimeRemainingColumn(), console=self._console,
        )  # fmt: skip
        self._task = TaskID(0)

    def print_line(self, text: str) -> None:
        """Print one line above the bar."""
        self._console.print(text, markup=False)

    def on_start(self, n_steps: int, first_step: int) -> None:
        """Draw the bar."""
        super().on_start(n_steps, first_step)
        self._task = self._bar.add_task("training", total=n_steps, completed=first_step - 1, loss="")
        self._bar.start()

    def on_step(self, step: int, loss: float, learning_rate: float, grad_norm: float) -> None:
        """Print a line where one is due, and move the bar."""
        super().on_step(step, loss, learning_rate, grad_norm)
        self._bar.update(self._task, completed=step, loss=f"loss {loss:.4f}")

    def on_finish(self) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()
