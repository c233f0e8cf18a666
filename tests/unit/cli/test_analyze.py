"""`samebits analyze` as a command: exit codes, output, and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.cli.main import run
from samebits.record.documents import results_document, write_golden, write_observed
from samebits.record.layout import RunFolder
from samebits.record.trace import FIRST_PREVIOUS_SHA256, step_record, trace_bytes

DIGEST = "1" * 64
ADAPTER_CONFIG: dict[str, Any] = {
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "bias": "none",
    "fan_in_fan_out": True, "init_lora_weights": True, "modules_to_save": None, "target_modules": ["c_attn"],
    "use_dora": False, "use_rslora": False,
}  # fmt: skip


def write_run(path: Path, *, weight: float = 1.0) -> None:
    folder = RunFolder(path)
    path.mkdir(parents=True)
    write_observed(folder, env={}, execution={"environment": "native"}, training_metadata={})
    record = step_record(
        step=1, sample_ids=[0], token_sha256=DIGEST, loss=1.0, grad_norm=1.0, learning_rate=1.0,
        gradients_sha256=DIGEST, parameters_sha256=DIGEST, optimizer_sha256=DIGEST, n_target_tokens=1,
        previous_sha256=FIRST_PREVIOUS_SHA256,
    )  # fmt: skip
    write_golden(
        folder,
        recipe={"record_version": 1},
        training_args={},
        results=results_document(1.0, None, n_steps=1, n_target_tokens=1, trace_root_sha256="0" * 64),
        trace=trace_bytes([record]),
        generations=[],
        adapter_config=ADAPTER_CONFIG,
        adapter={"a": np.full(2, weight, dtype=np.float32)},
    )


@pytest.mark.parametrize(
    ("weights", "exit_code", "verdict"),
    [([1.0, 1.0], 0, "Same bits"), ([1.0, 2.0], 1, "Different bits"), ([1.0], 2, "Undecided"), ([], 2, "Undecided")],
)
def test_the_exit_code_follows_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], weights: list[float], exit_code: int, verdict: str
) -> None:
    for number, weight in enumerate(weights):
        write_run(tmp_path / f"run{number}", weight=weight)
    assert run(["analyze", str(tmp_path)]) == exit_code
    assert f"\n{verdict}: " in capsys.readouterr().out
    assert (tmp_path / "report.html").is_file()


def test_json_is_the_report_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "runs" / "a")
    write_run(tmp_path / "runs" / "b")
    assert run(["analyze", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--json"]) == 0
    out = capsys.readouterr().out
    assert out.encode() == (tmp_path / "out" / "reproducibility_analysis_report.json").read_bytes()
    assert json.loads(out)["overall_analysis"]["total_runs"] == 2
    assert not (tmp_path / "runs" / "report.html").exists()


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("out", [[], ["--out", "{run}"], ["--out", "{run}/report"], ["--out", "{run}/golden"]])
def test_nothing_is_written_into_a_run_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], out: list[str]
) -> None:
    write_run(tmp_path / "run")
    before = tree(tmp_path)
    assert run(["analyze", str(tmp_path / "run"), *(word.format(run=tmp_path / "run") for word in out)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: the report must not be written into a run folder")
    assert "--out FOLDER" in error
    assert tree(tmp_path) == before


@pytest.mark.parametrize("left", ["checkpoints", "observed", ".partial-golden"])
def test_nothing_is_written_into_an_unfinished_run_folder(tmp_path: Path, left: str) -> None:
    (tmp_path / "run" / left).mkdir(parents=True)
    assert run(["analyze", str(tmp_path / "run")]) == 2
    assert [entry.name for entry in (tmp_path / "run").iterdir()] == [left]


def test_one_run_is_analyzed_into_another_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "run")
    before = tree(tmp_path / "run")
    assert run(["analyze", str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["overall_analysis"]["total_runs"] == 1
    assert (tmp_path / "out" / "report.html").is_file()
    assert tree(tmp_path / "run") == before


def test_a_run_named_golden_makes_its_parent_no_run_folder(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "golden")
    write_run(tmp_path / "runs" / "other")
    assert run(["analyze", str(tmp_path / "runs")]) == 0


def test_artifacts_is_where_runs_lie_if_nothing_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "artifacts" / "a")
    write_run(tmp_path / "artifacts" / "b")
    assert run(["analyze", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["overall_analysis"]["total_runs"] == 2
    assert (tmp_path / "artifacts" / "report.html").is_file()


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["analyze", str(tmp_path / "missing")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: the runs must lie in a readable folder")
    assert "Traceback" not in error


def test_a_strangers_study_file_is_refused_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study.json").write_text('{"rows": []}')
    assert run(["analyze", str(tmp_path)]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_one_unreadable_folder_does_not_refuse_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b")
    (tmp_path / "locked").mkdir()
    real = Path.iterdir

    def iterdir(path: Path) -> Any:
        if path == tmp_path / "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert run(["analyze", str(tmp_path)]) == 2
    assert "the folder must be readable, got Permission denied" in capsys.readouterr().out
