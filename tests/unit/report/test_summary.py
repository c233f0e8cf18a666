"""The Markdown summary: the same verdict as the page, and no markup from names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from samebits.report.analysis import analyze_folder
from samebits.report.summary import render_summary


def test_the_summary_opens_with_the_verdict_and_lists_every_run(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    make_run("b", weight=0.25)
    (make_run("killed") / "artifact_summary.json").unlink()
    text = render_summary(analyze_folder(tmp_path / "runs"))
    assert text.startswith("# Different bits\n")
    for row in ("| a | native | golden |", "| b | native | different |", "| killed | native | undecided |"):
        assert row in text
    assert "50 % (1 of 2)" in text


def test_one_run_is_not_tested(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    text = render_summary(analyze_folder(tmp_path / "runs"))
    assert text.startswith("# Undecided\n")
    assert "not tested: fewer than two comparable runs" in text
    assert "100 %" not in text


def test_a_name_cannot_end_a_cell_or_start_markup(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    make_run("b|c", environment="<b>`x`</b>\nnew")
    text = render_summary(analyze_folder(tmp_path / "runs"))
    assert "| b\\|c | \\<b\\>\\`x\\`\\</b\\> new |" in text
