"""Showing a study as it goes: a live line on a terminal, one plain line per finished run in a pipe."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, TextIO

from samebits.report.html import MATRIX_MARKS
from samebits.report.matrix import Cell, FactorLine, matrix_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Group
    from rich.live import Live
    from rich.status import Status

    from samebits.study.rows import Row
    from samebits.study.runner import Outcome
    from samebits.study.series import Place

_STYLES = {
    "golden": "bold", "same": "green", "different": "bold red", "calm": "", "not tested": "dim", "undecided": "yellow",
    "waiting": "dim", "running": "bold cyan",
}  # fmt: skip


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


class LiveMatrix(PlainLines):
    """All factors with what was seen of each value, drawn anew after every run; the line of a run that failed above."""

    def __init__(self, stream: TextIO | None = None, *, factors: Sequence[str] = ()) -> None:
        super().__init__(stream)
        self.rows: Sequence[Row] = ()
        self.factors = factors
        self.live: Live | None = None
        self.title = ""

    def on_rows(self, rows: Sequence[Row]) -> None:
        """Draw what is known."""
        self.rows = rows
        if self.live is not None:
            self._draw()

    def on_start(self, row: Row, place: Place) -> None:
        """Show what is being trained."""
        from rich.console import Console
        from rich.live import Live

        of_total = f" of {place.total}" if place.total is not None else ""
        self.title = f"run {place.number}{of_total}  {row.profile}  {row.run}: {row.changed}"
        if self.live is None:
            self.live = Live(console=Console(file=self.stream), auto_refresh=False)
            self.live.start()
        self._draw(running=row.run)

    def on_end(self, row: Row, outcome: Outcome | None) -> None:
        """Print the verdict where something went wrong; the matrix has the others."""
        if row.held is False or (outcome is not None and outcome.problem):
            stream, self.stream = self.stream, self.live.console.file if self.live else self.stream
            super().on_end(row, outcome)
            self.stream = stream

    def close(self) -> None:
        """Leave the matrix as it stands."""
        if self.live is not None:
            self.title = ""
            self._draw()
            self.live.stop()
            self.live = None

    def _draw(self, running: str | None = None) -> None:
        assert self.live is not None
        lines = matrix_of([asdict(row) for row in self.rows], factors=self.factors, running=running)
        self.live.update(render_matrix(lines, self.title), refresh=True)


def render_matrix(lines: Sequence[FactorLine], title: str) -> Group:
    """Return the matrix for a terminal: a line for each factor, a coloured mark for each of its values."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("factor", no_wrap=True)
    table.add_column("values")
    for line in lines:
        values = Text()
        for cell in line.cells:
            values.append(f"{cell_text(cell)}  ", style=_STYLES["calm" if cell.is_calm else cell.state])
        table.add_row(f"{line.profile}  {line.factor}", values)
    return Group(table, Text(title, overflow="ellipsis", no_wrap=True))


def cell_text(cell: Cell) -> str:
    """Return a value with the mark of what was seen of it, and in how many runs together with others."""
    together = f" x{cell.n_together}" if cell.n_together else ""
    return f"{MATRIX_MARKS[cell.state]} {cell.label}{together}"


def describe(row: Row, outcome: Outcome | None) -> str:
    """Return one line about a decided run."""
    time = f"{outcome.wall_s:6.1f} s" if outcome is not None else "       -"
    line = f"{time}  {row.run:<25} {row.verdict:<11} {row.changed}"
    # Where the expectation held, what exactly differs is for the report: a terminal's line is short.
    return f"{line} ({row.reason})" if row.reason and row.held is not True else line
