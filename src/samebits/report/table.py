"""A table as plain text: columns as wide as their content, for a terminal and a pipe alike."""

from __future__ import annotations

from collections.abc import Sequence

from samebits.errors import printable


def render_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return head, rule and rows, each line without trailing spaces."""
    cells = [[printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
