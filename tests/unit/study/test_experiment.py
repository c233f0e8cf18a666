"""A study holds, breaks, or stays undecided for stated reasons; each fault is planted in a child and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from samebits.errors import UsageError
from samebits.report.analysis import analyze_folder
from samebits.report.files import write_report
from samebits.study.experiment import run_study
from samebits.study.judge import NO_EFFECT
from samebits.study.rows import EXIT_CODES, Experiment, Row, read_experiment
from samebits.study.runner import ChildRunner

Study = Callable[..., Experiment]


def row_of(experiment: Experiment, name: str) -> Row:
    return next(row for row in experiment.rows if row.run == name)


def test_a_study_holds_where_nothing_shows_in_portable_runs_and_something_does_in_stock(
    study: Study, tmp_path: Path
) -> None:
    experiment = study()
    verdicts = {row.run: row.verdict for row in experiment.rows}
    assert verdicts == {
        "golden": "golden",
        "repeat-1": "same",
        "hash-seed-12345": "same",
        "locale": verdicts["locale"],
        "time-zone": "same",
        "folder": "same",
        "threads-1": "same",
        "threads-3": "same",
        "threads-8": "same",
        "isa-baseline": "same",
        "batch-split-1x4": "same",
        "batch-split-2x2": "same",
        "packing": "same",
        "resume": "same",
        "stock": "golden",
        "stock-repeat-1": "same",
        "stock-threads-1": "different",
        "stock-threads-3": "different",
        "stock-aten-default": "different",
        "stock-mkl-isa-sse4-2": "not tested",
        "stock-mkl-cbwr-compatible": "not tested",
    }
    assert experiment.verdict == "held"
    assert EXIT_CODES[experiment.verdict] == 0
    assert experiment.findings == []
    assert experiment.sentence.startswith("portable-f32: 1 golden digest in 14 runs; stock: 4 in 7; ")
    assert experiment.golden_digest == experiment.rows[0].golden_digest
    assert row_of(experiment, "stock-mkl-cbwr-compatible").reason == NO_EFFECT
    assert row_of(experiment, "stock-mkl-cbwr-compatible").held is None
    assert not (tmp_path / "study" / ".work").exists()


@pytest.mark.parametrize(
    ("fault", "factor", "reason"),
    [
        ("repeat-1:bit", "folder", "adapter_model.safetensors"),
        ("repeat-1:seed", "folder", "another recipe"),
        ("time-zone:late-bit", "time-zone", "changed after recording"),
        ("packing:bit", "packing", "adapter_model.safetensors"),
        ("resume:bit", "resume", "adapter_model.safetensors"),
        ("stock-repeat-1:bit", "aten", "adapter_model.safetensors"),
        ("stock-aten-default:seed", "aten", "another recipe"),
        ("stock-aten-default:late-bit", "aten", "changed after recording"),
    ],
)
def test_a_planted_fault_breaks_the_study_and_names_the_run(
    study: Study, monkeypatch: pytest.MonkeyPatch, fault: str, factor: str, reason: str
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    experiment = study(only=(factor,))
    name = fault.partition(":")[0]
    assert experiment.verdict == "broken"
    assert EXIT_CODES[experiment.verdict] == 1
    assert [row.run for row in experiment.rows if row.held is False] == [name]
    assert reason in row_of(experiment, name).reason
    assert any(finding.startswith(f"{name}:") for finding in experiment.findings)


def test_portable_bits_that_follow_the_thread_count_break_the_study(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_LEAK", "1")
    experiment = study(only=("threads", "resume", "packing"))
    assert experiment.verdict == "broken"
    broken = [row.run for row in experiment.rows if row.held is False]
    assert broken == ["threads-1", "threads-3", "threads-8", "resume"]
    assert experiment.sentence.startswith("portable-f32: 4 golden digests in 7 runs; stock: 3 in 4")


def test_a_golden_run_that_alone_is_odd_breaks_every_promise(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "golden:bit")
    experiment = study(only=("time-zone",), n_runs=3)
    assert [row.run for row in experiment.rows if row.held is False] == ["repeat-1", "repeat-2", "time-zone"]


@pytest.mark.parametrize(
    ("fault", "factor", "reason"),
    [
        ("repeat-1:exit", "folder", "exit code 1, see logs/repeat-1.log"),
        ("repeat-1:kill", "folder", "SIGKILL, see logs/repeat-1.log"),
        ("repeat-1:unfinished", "folder", "artifact_summary.json"),
        ("time-zone:exit", "time-zone", "exit code 1"),
        ("resume:kill", "resume", "did not: it was ended by SIGKILL, see logs/resume-first.log"),
        ("resume:deaf", "resume", "did not: it trained to its end, see logs/resume-first.log"),
        ("stock-aten-default:exit", "aten", "exit code 1"),
    ],
)
def test_a_run_that_could_not_be_made_leaves_the_study_undecided(
    study: Study, monkeypatch: pytest.MonkeyPatch, fault: str, factor: str, reason: str
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    experiment = study(only=(factor, "packing"))
    name = fault.partition(":")[0]
    assert experiment.verdict == "undecided"
    assert EXIT_CODES[experiment.verdict] == 2
    assert [row.run for row in experiment.rows if row.verdict == "undecided"] == [name]
    assert reason in row_of(experiment, name).reason
    assert row_of(experiment, "packing").held is True


def test_a_small_budget_that_made_no_more_passes_tested_nothing(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "packing:whole")
    row = row_of(study(only=("packing",)), "packing")
    assert (row.verdict, row.reason, row.held) == ("not tested", NO_EFFECT, None)


def test_a_run_that_began_anew_was_not_resumed(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "resume:anew")
    experiment = study(only=("resume",))
    assert (row_of(experiment, "resume").verdict, row_of(experiment, "resume").reason) == ("not tested", NO_EFFECT)


def test_without_a_golden_run_nothing_else_is_tried(study: Study, monkeypatch: pytest.MonkeyPatch, ear: Any) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "golden:exit")
    experiment = study()
    assert ear.started == ["golden"]
    assert experiment.verdict == "undecided"
    assert "no room for this run" in ear.outcomes["golden"].tail
    assert experiment.golden_digest is None


def test_without_a_golden_run_of_stock_the_portable_side_stands(
    study: Study, monkeypatch: pytest.MonkeyPatch, ear: Any
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "stock:exit")
    experiment = study(only=("threads",))
    assert ear.started[-1] == "stock"
    assert experiment.verdict == "undecided"
    assert experiment.golden_digest is not None
    assert row_of(experiment, "threads-8").held is True


def test_without_torch_stock_is_not_tested_and_the_study_says_so(
    study: Study, monkeypatch: pytest.MonkeyPatch, ear: Any, tmp_path: Path
) -> None:
    reason = "no torch here: run `pip install 'samebits[torch]'`"
    monkeypatch.setattr("samebits.study.experiment.missing_baseline", lambda: reason)
    experiment = study(only=("threads",))
    stock = [row for row in experiment.rows if row.profile == "stock"]
    assert {(row.verdict, row.reason) for row in stock} == {("not tested", reason)}
    assert [row.run for row in stock] == ["stock", "stock-repeat-1", "stock-threads-1", "stock-threads-3"]
    assert not any(name.startswith("stock") for name in ear.started)
    assert experiment.verdict == "held"
    assert experiment.sentence == "portable-f32: 1 golden digest in 5 runs; stock: not tested."
    assert experiment.findings == [f"stock, the baseline that must break, was not tested: {reason}."]
    page = write_report(analyze_folder(tmp_path / "study", experiment=experiment.document()), tmp_path / "study")[2]
    assert "pip install" in page.read_text()
    assert "Every tested expectation held" in page.read_text()
    experiment.require_all = True
    assert experiment.verdict == "undecided"


def test_a_listener_is_told_which_run_of_how_many(study: Study, ear: Any) -> None:
    study(only=("threads",))
    places = [(place.number, place.total) for place in ear.places]
    assert places == [(1, None), *((number, 9) for number in range(2, 10))]


def test_a_run_that_takes_too_long_is_ended_and_undecided(
    study: Study, monkeypatch: pytest.MonkeyPatch, stand_in_runner: ChildRunner
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "repeat-1:sleep")
    experiment = study(only=("folder",), runner=ChildRunner(stand_in_runner.python, timeout_s=4))
    assert "did not end within 4 s" in row_of(experiment, "repeat-1").reason
    assert experiment.verdict == "undecided"


def test_a_stock_side_that_never_breaks_breaks_the_study(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_BLIND", "1")
    experiment = study(only=("threads",))
    assert row_of(experiment, "stock-threads-1").verdict == "same"
    assert row_of(experiment, "stock-threads-1").held is True
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


def test_without_machine_factors_stock_is_not_asked(study: Study) -> None:
    experiment = study(only=("folder",))
    assert experiment.verdict == "held"
    assert {row.profile for row in experiment.rows} == {"portable-f32"}


def test_a_full_study_repeats_the_changed_machine(study: Study) -> None:
    experiment = study(full=True, only=("threads", "pairs"))
    again = row_of(experiment, "stock-threads-1-again")
    assert (again.against, again.verdict, again.held) == ("stock-threads-1", "same", True)
    assert row_of(experiment, "surroundings-at-once").verdict == "same"
    assert row_of(experiment, "stock-surroundings-at-once").verdict == "same"
    assert {"threads-5", "threads-16", "stock-threads-8"} <= {row.run for row in experiment.rows}
    assert experiment.verdict == "held"


def test_a_repeat_without_its_first_run_is_undecided(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "stock-threads-1:exit")
    experiment = study(full=True, only=("threads", "pairs"))
    assert "no complete run stock-threads-1" in row_of(experiment, "stock-threads-1-again").reason
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
    assert [row["verdict"] for row in document["rows"]][:3] == ["golden", "undecided", "undecided"]
    assert {row["reason"] for row in document["rows"][1:]} == {"not run"}
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
    assert [profile["n_distinct_golden_digests"] for profile in report["profiles"]] == [1, 3]
    assert [recipe["reference_run"] for recipe in report["recipes"]] == ["golden", "stock"]


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
