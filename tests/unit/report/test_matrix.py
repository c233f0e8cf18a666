"""What was seen of each value of each factor, alone and together."""

from __future__ import annotations

from typing import Any

import pytest

from samebits.report.matrix import NOT_RUN, Cell, matrix_of


def row(run: str, factor: str, verdict: str, *, parts: Any = (), **more: Any) -> dict[str, Any]:
    values = {"profile": "portable-f32", "held": None, "reason": "", "unseen": [], **more}
    return {"run": run, "factor": factor, "verdict": verdict, "parts": parts, **values}


def cells_of(rows: list[dict[str, Any]], factor: str, **more: Any) -> list[Cell]:
    return next(list(line.cells) for line in matrix_of(rows, **more) if line.factor == factor)


def test_each_value_of_a_factor_stands_in_its_line() -> None:
    rows = [
        row("golden", "repeat", "golden"),
        row("threads-1", "threads", "same"),
        row("stock-threads-1", "threads", "different", profile="stock", held=True),
        row("threads-3", "threads", "undecided", reason=NOT_RUN),
        row("umask", "umask", "not tested", reason="no umask"),
    ]
    lines = matrix_of(rows, running="threads-3")
    assert [(line.profile, line.factor) for line in lines] == [
        ("portable-f32", "repeat"), ("portable-f32", "threads"), ("portable-f32", "umask"), ("stock", "threads"),
    ]  # fmt: skip
    assert [(cell.label, cell.state) for cell in lines[1].cells] == [("1", "same"), ("3", "running")]
    assert lines[2].cells == (Cell("umask", "umask", "not tested", reason="no umask"),)
    assert lines[3].cells == (Cell("stock-threads-1", "1", "different", is_calm=True),)
    assert matrix_of(rows)[1].cells[1].state == "waiting"


def test_lines_come_in_the_order_that_is_wanted() -> None:
    rows = [row("b", "b", "same"), row("a", "a", "same"), row("golden", "repeat", "golden")]
    assert [line.factor for line in matrix_of(rows, (), ["a", "b"])] == ["repeat", "a", "b"]


TOGETHER = [["umask", "umask"], ["threads", "threads-1"]]


@pytest.mark.parametrize(
    ("verdict", "more", "expected"),
    [
        ("same", {}, "same"),
        ("different", {}, "undecided"),
        ("undecided", {}, "undecided"),
        ("undecided", {"reason": NOT_RUN}, "waiting"),
        ("same", {"unseen": ["threads-1"]}, "not tested"),
        ("different", {"unseen": ["threads-1"]}, "not tested"),
    ],
)
def test_runs_with_several_changes_say_about_each_what_they_can(
    verdict: str, more: dict[str, Any], expected: str
) -> None:
    [cell] = cells_of([row("pairs-01", "pairs", verdict, parts=TOGETHER, **more)], "threads")
    assert (cell.label, cell.state, cell.n_together) == ("1", expected, int(expected != "waiting"))


def test_a_blamed_value_differs_and_its_company_does_not() -> None:
    rows = [
        row("pairs-01", "pairs", "different", parts=TOGETHER),
        row("pairs-02", "pairs", "same", parts=[["threads", "threads-1"]]),
    ]
    culprits = [{"changes": ["umask"]}]
    assert [cell.state for cell in cells_of(rows, "umask", culprits=culprits)] == ["different"]
    assert [(cell.state, cell.n_together) for cell in cells_of(rows, "threads", culprits=culprits)] == [("same", 2)]


def test_alone_says_more_than_together() -> None:
    rows = [row("threads-1", "threads", "same"), row("pairs-01", "pairs", "different", parts=TOGETHER)]
    assert cells_of(rows, "threads") == [Cell("threads-1", "1", "same", n_together=1)]
