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
    for row in (
        "a | stock | native | golden",
        "b | stock | native | different",
        "killed | unknown | native | undecided",
    ):
        assert f"| {row} |" in text
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
    assert "| b\\|c | stock | \\<b\\>\\`x\\`\\</b\\> new |" in text


def test_each_profile_has_its_digests_counted(make_run: Any, tmp_path: Path) -> None:
    make_run("golden", numerics="portable-f32")
    make_run("repeat-1", numerics="portable-f32")
    make_run("stock")
    text = render_summary(analyze_folder(tmp_path / "runs"))
    assert "| golden digests of portable-f32 | 1 in 2 runs |" in text
    assert "| golden digests of stock | 1 in 1 run |" in text
    assert text.index("Numerics profile: portable-f32") < text.index("Numerics profile: stock")
    assert "| stock | 3.5 | 3.75 |" in text
