"""Showing a study as it goes: a live line on a terminal, one plain line per finished run in a pipe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.status import Status

    from samebits.study.rows import Row
    from samebits.study.runner import Outcome
    from samebits.study.series import Place


class PlainLines:
    """One line per decided run, and the end of its log where it failed."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr

    def on_rows(self, rows: Sequence[Row]) -> None:
        """Say nothing: each is told when it is decided."""

    def on_start(self, row: Row, place: Place) -> None:
        """Say nothing before there is something to say."""

    def on_end(self, row: Row, outcome: Outcome | None) -> None:
        """Print the verdict."""
        self.stream.write(describe(row, outcome) + "\n")
        if outcome is not None and outcome.tail:
            self.stream.write("".join(f"    {line}\n" for line in outcome.tail.splitlines()))
        self.stream.flush()


class LiveLine(PlainLines):
    """A spinner with the run in progress, above it the lines of `PlainLines`."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self.status: Status | None = None

    def on_start(self, row: Row, place: Place) -> None:
        """Show what is being trained."""
        from rich.console import Console
        from rich.markup import escape

        console = Console(file=self.stream)
        of_total = f" of {place.total}" if place.total is not None else ""
        self.status = console.status(escape(f"run {place.number}{of_total}  {row.profile}  {row.run}: {row.changed}"))
        self.status.start()

    def on_end(self, row: Row, outcome: Outcome | None) -> None:
        """Replace the spinner by the verdict."""
        self.close()
        super().on_end(row, outcome)

    def close(self) -> None:
        """Give the terminal's cursor back."""
        if self.status is not None:
            self.status.stop()
            self.status = None


def describe(row: Row, outcome: Outcome | None) -> str:
    """Return one line about a decided run."""
    time = f"{outcome.wall_s:6.1f} s" if outcome is not None else "       -"
    line = f"{time}  {row.run:<25} {row.verdict:<11} {row.changed}"
    # Where the expectation held, what exactly differs is for the report: a terminal's line is short.
    return f"{line} ({row.reason})" if row.reason and row.held is not True else line
