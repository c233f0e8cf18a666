from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from samebits.cli import training_lines
from samebits.cli.training_lines import Bar, Lines
from samebits.record.progress import Progress


def _tell(listener: Progress, n_steps: int) -> None:
    listener.on_note("two\n[notes]")
    listener.on_start(n_steps, 1)
    for step in range(1, n_steps + 1):
        listener.on_step(step, 1.5, 2e-4, 0.5)
    listener.on_finish()


def test_a_line_comes_for_every_logging_step_and_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    _tell(Lines(2), 5)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "note: two\\n[notes]",
        *(f"step {step}/5  loss 1.500000  lr 2.000e-04  grad norm 0.5000" for step in (2, 4, 5)),
    ]


def test_a_bar_ends_full_with_the_last_loss_and_the_lines_above(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(
        training_lines,
        "Console",
        lambda *, stderr, **options: Console(file=screen, force_terminal=True, width=100, **options),
    )
    _tell(Bar(2), 5)
    assert "two\\n[notes]" in screen.getvalue()
    assert re.findall(r"step \d/5  loss 1\.500000  lr 2\.000e-04  grad norm 0\.5000", screen.getvalue()) == [
        f"step {step}/5  loss 1.500000  lr 2.000e-04  grad norm 0.5000" for step in (2, 4, 5)
    ]
    last = screen.getvalue().rpartition("training")[2]
    assert "5/5" in last
    assert "loss 1.5000" in last
