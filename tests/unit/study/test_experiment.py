"""A study holds, breaks, or stays undecided for stated reasons; each fault is planted in a child and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from samebits.errors import RecordError, UsageError
from samebits.report.analysis import analyze_folder
from samebits.report.files import write_report
from samebits.study.experiment import EXIT_CODES, NO_EFFECT, Experiment, Row, read_experiment, run_study
from samebits.study.runner import ChildRunner

Study = Callable[..., Experiment]


def row_of(experiment: Experiment, name: str) -> Row:
    return next(row for row in experiment.rows if row.run == name)


def test_a_study_holds_where_repeats_agree_and_a_machine_factor_shows(study: Study, tmp_path: Path) -> None:
    experiment = study()
    verdicts = {row.run: row.verdict for row in experiment.rows}
    assert verdicts == {
        "golden": "golden",
        "repeat-1": "same",
        "hash-seed-12345": "same",
        "locale": verdicts["locale"],
        "time-zone": "same",
        "folder": "same",
        "threads-1": "different",
        "aten-default": "different",
        "mkl-enable-instructions-sse4-2": "not tested",
        "mkl-cbwr-compatible": "not tested",
    }
    assert experiment.verdict == "held"
    assert EXIT_CODES[experiment.verdict] == 0
    assert experiment.findings == []
    assert row_of(experiment, "mkl-cbwr-compatible").reason == NO_EFFECT
    assert row_of(experiment, "mkl-cbwr-compatible").held is None
    assert not (tmp_path / "study" / ".work").exists()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("repeat-1:bit", "adapter_model.safetensors"),
        ("repeat-1:seed", "another recipe"),
        ("time-zone:late-bit", "changed after recording"),
        ("threads-1:seed", "another recipe"),
        ("threads-1:late-bit", "changed after recording"),
    ],
)
def test_a_planted_fault_breaks_the_study_and_names_the_run(
    study: Study, monkeypatch: pytest.MonkeyPatch, fault: str, reason: str
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    experiment = study(only=("time-zone", "threads"))
    name = fault.partition(":")[0]
    assert experiment.verdict == "broken"
    assert EXIT_CODES[experiment.verdict] == 1
    assert [row.run for row in experiment.rows if row.held is False] == [name]
    assert reason in row_of(experiment, name).reason
    assert any(finding.startswith(f"{name}:") for finding in experiment.findings)


def test_a_golden_run_that_alone_is_odd_breaks_every_promise(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "golden:bit")
    experiment = study(only=("time-zone",), n_runs=3)
    assert [row.run for row in experiment.rows if row.held is False] == ["repeat-1", "repeat-2", "time-zone"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("repeat-1:exit", "exit code 1, see logs/repeat-1.log"),
        ("repeat-1:kill", "SIGKILL"),
        ("repeat-1:unfinished", "artifact_summary.json"),
        ("time-zone:exit", "exit code 1"),
    ],
)
def test_a_run_that_could_not_be_made_leaves_the_study_undecided(
    study: Study, monkeypatch: pytest.MonkeyPatch, fault: str, reason: str
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    experiment = study(only=("time-zone", "threads"))
    name = fault.partition(":")[0]
    assert experiment.verdict == "undecided"
    assert EXIT_CODES[experiment.verdict] == 2
    assert row_of(experiment, name).verdict == "undecided"
    assert reason in row_of(experiment, name).reason
    assert row_of(experiment, "threads-1").held is True


def test_without_a_golden_run_nothing_else_is_tried(study: Study, monkeypatch: pytest.MonkeyPatch, ear: Any) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "golden:exit")
    experiment = study()
    assert ear.started == ["golden"]
    assert experiment.verdict == "undecided"
    assert "no room for this run" in ear.outcomes["golden"].tail


def test_a_run_that_takes_too_long_is_ended_and_undecided(
    study: Study, monkeypatch: pytest.MonkeyPatch, stand_in_runner: ChildRunner
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "repeat-1:sleep")
    experiment = study(only=("folder",), runner=ChildRunner(stand_in_runner.python, timeout_s=4))
    assert "did not end within 4 s" in row_of(experiment, "repeat-1").reason
    assert experiment.verdict == "undecided"


def test_machine_factors_that_never_show_break_the_study(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_BLIND", "1")
    experiment = study(only=("threads",))
    assert row_of(experiment, "threads-1").verdict == "same"
    assert row_of(experiment, "threads-1").held is True
    assert experiment.verdict == "broken"
    assert any("did not vary" in finding for finding in experiment.findings)


def test_a_knob_without_effect_is_not_tested_and_counts_only_on_demand(
    study: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STAND_IN_FACTS", "none")
    experiment = study(only=("time-zone", "folder"))
    assert row_of(experiment, "time-zone").verdict == "not tested"
    assert row_of(experiment, "folder").verdict == "same"
    assert experiment.verdict == "held"
    experiment.require_all = True
    assert experiment.verdict == "undecided"
    assert any(finding.startswith("time-zone was not tested") for finding in experiment.findings)


def test_without_machine_factors_none_has_to_show(study: Study) -> None:
    assert study(only=("folder",)).verdict == "held"


def test_a_full_study_repeats_the_changed_machine(study: Study) -> None:
    experiment = study(full=True, only=("threads", "pairs"))
    again = row_of(experiment, "threads-1-again")
    assert (again.against, again.verdict, again.held) == ("threads-1", "same", True)
    assert row_of(experiment, "surroundings-at-once").verdict == "same"
    assert {"threads-3", "threads-4", "threads-8"} <= {row.run for row in experiment.rows}


def test_a_repeat_without_its_first_run_is_undecided(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "threads-1:exit")
    experiment = study(full=True, only=("threads", "pairs"))
    assert "no complete run threads-1" in row_of(experiment, "threads-1-again").reason
    assert experiment.verdict == "undecided"


def test_an_interruption_leaves_a_state_that_can_be_read_and_reported(
    tmp_path: Path, stand_in_runner: ChildRunner, ear: Any
) -> None:
    class Interrupted:
        def train(self, job: Any) -> Any:
            if job.run.name == "repeat-1":
                raise KeyboardInterrupt
            return stand_in_runner.train(job)

    with pytest.raises(KeyboardInterrupt):
        run_study(tmp_path / "study", runner=Interrupted(), listener=ear, n_runs=3)
    document = read_experiment(tmp_path / "study")
    assert document is not None
    assert document["verdict"] == "undecided"
    assert document["is_complete"] is False
    assert [row["verdict"] for row in document["rows"]] == ["golden", "undecided", "undecided"]
    report = analyze_folder(tmp_path / "study", experiment=document)
    assert "Undecided" in write_report(report, tmp_path / "study")[2].read_text()


def test_analysis_of_a_studys_folder_gives_its_report_again(study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    experiment = study(only=("threads",))
    report = analyze_folder(folder, experiment=experiment.document())
    first = [path.read_bytes() for path in write_report(report, folder)]
    again = analyze_folder(folder, experiment=read_experiment(folder))
    assert [path.read_bytes() for path in write_report(again, folder)] == first
    assert b"Every expectation held" in first[2]
    assert [run["name"] for run in report["runs"]] == ["golden", "repeat-1", "threads-1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_runs": 1}, "two unchanged runs"),
        ({"only": ("moon",)}, "factor must be one of"),
        ({"only": ("pairs",)}, "full study"),
    ],
)
def test_arguments_that_make_no_study_are_refused(study: Study, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        study(**arguments)


def test_a_folder_with_content_is_refused(study: Study, tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="empty folder"):
        study()


def test_no_study_is_none(tmp_path: Path) -> None:
    assert read_experiment(tmp_path) is None


def study_file(folder: Path, **changes: Any) -> None:
    row = Row("golden", "repeat", "nothing", "same", "golden", "golden", None, "", "0" * 64)
    document = {**Experiment("samebits study", rows=[row]).document(), **changes}
    kept = {key: value for key, value in document.items() if value is not None}
    (folder / "study.json").write_text(json.dumps(kept))


def test_a_sound_study_file_is_read(tmp_path: Path) -> None:
    study_file(tmp_path)
    document = read_experiment(tmp_path)
    assert document is not None
    assert document["rows"][0]["run"] == "golden"


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": None},
        {"sentence": None},
        {"verdict": "splendid"},
        {"rows": 7},
        {"rows": [7]},
        {"rows": [{"run": "a"}]},
        {"sentence": ["<b>"]},
    ],
)
def test_a_damaged_study_file_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    study_file(tmp_path, **changes)
    with pytest.raises(RecordError):
        read_experiment(tmp_path)


def test_a_strange_verdict_in_a_row_is_refused(tmp_path: Path) -> None:
    row = Row("golden", "repeat", "nothing", "same", "golden", "excellent")
    (tmp_path / "study.json").write_text(json.dumps(Experiment("x", rows=[row]).document()))
    with pytest.raises(RecordError, match="verdict must be one of"):
        read_experiment(tmp_path)
