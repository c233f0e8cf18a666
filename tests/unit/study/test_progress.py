"""Plain lines in a pipe, a live line on a terminal."""

from __future__ import annotations

import io
from dataclasses import replace

from samebits.report.matrix import NOT_RUN, Cell
from samebits.study.progress import LiveLine, LiveMatrix, PlainLines, cell_text, describe
from samebits.study.rows import Row
from samebits.study.runner import Outcome
from samebits.study.series import Place

ROW = Row(
    "portable-f32", "threads-1", "threads", "1 thread in place of 2", "same", "golden", "different", False, "other bits"
)  # fmt: skip


def test_a_pipe_gets_one_line_per_run_without_escape_codes() -> None:
    stream = io.StringIO()
    lines = PlainLines(stream)
    lines.on_start(ROW, Place(1, None))
    lines.on_end(ROW, Outcome(12.34))
    name = "threads-1".ljust(25)
    assert stream.getvalue() == f"  12.3 s  {name} different   1 thread in place of 2 (other bits)\n"


def test_what_was_expected_has_no_reason_to_tell() -> None:
    row = replace(ROW, profile="stock", expectation="may differ", held=True)
    assert describe(row, Outcome(1.0)).endswith("1 thread in place of 2")


def test_a_failed_run_shows_the_end_of_its_log() -> None:
    stream = io.StringIO()
    PlainLines(stream).on_end(ROW, Outcome(1.0, "it ended with exit code 2", "one\ntwo"))
    assert stream.getvalue().endswith("    one\n    two\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_the_run_in_progress_and_then_its_line() -> None:
    stream = Terminal()
    live = LiveLine(stream)
    live.on_start(ROW, Place(3, 17))
    live.on_end(ROW, Outcome(12.34))
    live.close()
    assert "run 3 of 17  portable-f32  threads-1" in stream.getvalue()
    assert stream.getvalue().rstrip().endswith("(other bits)")


def test_the_first_run_does_not_know_how_many_there_will_be() -> None:
    stream = Terminal()
    live = LiveLine(stream)
    live.on_start(ROW, Place(1, None))
    live.close()
    assert "run 1  portable-f32  threads-1" in stream.getvalue()


def test_a_terminal_sees_the_matrix_with_the_run_in_progress() -> None:
    stream = Terminal()
    live = LiveMatrix(stream, factors=("clock", "threads"))
    waiting = replace(ROW, run="threads-3", verdict="undecided", held=None, reason=NOT_RUN)
    live.on_rows([waiting])
    live.on_start(waiting, Place(2, 5))
    assert "run 2 of 5  portable-f32  threads-3" in stream.getvalue()
    assert "▸ 3" in stream.getvalue()
    live.on_end(replace(waiting, verdict="same", held=True, reason=""), Outcome(1.0))
    live.on_rows([replace(waiting, verdict="same", held=True, reason=""), replace(ROW, run="clock", factor="clock")])
    live.close()
    last = stream.getvalue().rpartition("clock")[2]
    assert "✓ 3" in last
    assert "▸" not in last


def test_a_run_that_differs_is_told_above_the_matrix() -> None:
    stream = Terminal()
    live = LiveMatrix(stream)
    live.on_rows([ROW])
    live.on_start(ROW, Place(1, None))
    live.on_end(ROW, Outcome(2.0))
    live.close()
    assert "threads-1" in stream.getvalue()
    assert "(other bits)" in stream.getvalue()


def test_a_value_is_told_with_its_mark_and_its_company() -> None:
    assert cell_text(Cell("threads-3", "3", "same", n_together=4)) == "✓ 3 x4"
    assert cell_text(Cell("clock", "clock", "waiting")) == "· clock"
