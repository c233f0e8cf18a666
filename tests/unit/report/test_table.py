"""Columns line up, and a name cannot write to the terminal."""

from __future__ import annotations

from samebits.report.table import render_table


def test_columns_are_as_wide_as_their_content() -> None:
    assert render_table(("run", "seen"), [("golden", "same"), ("a", "x")]) == (
        "run     seen\n------  ----\ngolden  same\na       x"
    )


def test_control_characters_are_escaped() -> None:
    assert "\x1b" not in render_table(("run",), [("\x1b[2J",)])
