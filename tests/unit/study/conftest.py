"""A study whose children write test data instead of training."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import samebits
from samebits.study.experiment import run_study
from samebits.study.rows import Experiment, Row
from samebits.study.runner import ChildRunner, Outcome
from samebits.study.series import Place

STAND_IN = (sys.executable, str(Path(__file__).parent / "stand_in.py"))


class Ear:
    """Remembers what a study tells."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.started: list[str] = []
        self.places: list[Place] = []
        self.ended: list[Row] = []
        self.outcomes: dict[str, Outcome | None] = {}

    def on_rows(self, rows: Sequence[Row]) -> None:
        self.rows = list(rows)

    def on_start(self, row: Row, place: Place) -> None:
        self.started.append(row.run)
        self.places.append(place)

    def on_end(self, row: Row, outcome: Outcome | None) -> None:
        self.ended.append(row)
        self.outcomes[row.run] = outcome


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture(autouse=True)
def import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the children import the samebits under test, and start from a known environment."""
    source = str(Path(samebits.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")])))
    for name in ("ATEN_CPU_CAPABILITY", "PYTHONHASHSEED", "SAMEBITS_ISA", "TZ"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def torch_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let studies of the stand-in have stock runs: it needs no torch."""
    for user in ("experiment", "vary"):
        monkeypatch.setattr(f"samebits.study.{user}.missing_baseline", lambda: None)


@pytest.fixture
def stand_in_runner() -> ChildRunner:
    return ChildRunner(STAND_IN, timeout_s=60)


@pytest.fixture
def study(tmp_path: Path, ear: Ear, stand_in_runner: ChildRunner) -> Callable[..., Experiment]:
    """Return a function that runs a study with two unchanged runs in `tmp_path/study`."""

    def run(**arguments: Any) -> Experiment:
        options = {"runner": stand_in_runner, "listener": ear, "n_runs": 2, **arguments}
        return run_study(tmp_path / "study", **options)

    return run
