"""Reading run folders: every kind of damage gets a state and a reason, none an exception."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from samebits.canonical.json_bytes import dump_json
from samebits.errors import RecordError
from samebits.record.layout import RunFolder
from samebits.record.manifest import write_summary
from samebits.report.runs import METRICS, find_runs, read_run


def test_a_complete_run_is_read_whole(make_run: Any) -> None:
    run = read_run(make_run("a", train_loss=0.1), "a")
    assert (run.state, run.reasons, run.environment) == ("complete", (), "native")
    assert run.metrics["train_loss"] == 0.1
    assert set(run.metrics) == set(METRICS)
    assert len(run.trace) == 3
    assert run.is_comparable


def test_metrics_come_from_the_hex_floats(make_run: Any) -> None:
    path = make_run("a")
    results = path / "golden" / "results.json"
    text = results.read_text()
    results.write_text(text.replace((3.5).hex(), "0x1.8p+0"))
    write_summary(RunFolder(path))
    assert read_run(path, "a").metrics["train_loss"] == 1.5


@pytest.mark.parametrize("value", ['"much"', '"nan"', '"inf"', "[1]", '"0x1p+9999"'])
def test_a_metric_that_is_no_finite_number_is_a_reason(make_run: Any, value: str) -> None:
    path = make_run("a")
    (path / "golden" / "results.json").write_text(f'{{"train_loss": {value}}}')
    write_summary(RunFolder(path))
    run = read_run(path, "a")
    assert run.metrics == dict.fromkeys(METRICS)
    assert any("train_loss must be" in reason for reason in run.reasons)


@pytest.mark.parametrize("file", ["golden/trace.jsonl", "golden/results.json", "observed/execution.json"])
def test_each_unreadable_file_is_named(make_run: Any, file: str) -> None:
    path = make_run("a")
    (path / file).write_bytes(b"\xff{")
    run = read_run(path, "a")
    assert any(file in reason for reason in run.reasons)


def test_reasons_name_no_folder_of_this_machine(make_run: Any, tmp_path: Path) -> None:
    path = make_run("a")
    (path / "artifact_summary.json").write_text("{")
    (path / "observed" / "env.json").unlink()
    run = read_run(path, "a")
    assert len(run.reasons) == 2
    assert not any(str(tmp_path) in reason for reason in run.reasons)


def test_a_summary_without_the_recipe_is_undecided(make_run: Any) -> None:
    path = make_run("a")
    recipe = (path / "golden" / "recipe.json").rename(path / "recipe.json")
    write_summary(RunFolder(path))
    recipe.rename(path / "golden" / "recipe.json")
    run = read_run(path, "a")
    assert run.state == "undecided"
    assert not run.is_comparable


@pytest.mark.parametrize("environment", [7, "", None, ["native"]])
def test_a_strange_environment_is_unknown(make_run: Any, environment: Any) -> None:
    path = make_run("a")
    (path / "observed" / "execution.json").write_bytes(dump_json({"environment": environment}))
    assert read_run(path, "a").environment == "unknown"


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="readable folder"):
        find_runs(tmp_path / "missing")


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_linked_folders_are_not_searched(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "link").symlink_to(tmp_path / "runs", target_is_directory=True)
    assert find_runs(tmp_path / "shown") == []


def test_what_a_killed_write_left_is_a_run(tmp_path: Path) -> None:
    (tmp_path / "killed" / ".partial-golden").mkdir(parents=True)
    assert find_runs(tmp_path) == [tmp_path / "killed"]
    assert read_run(tmp_path / "killed", "killed").state == "undecided"


def test_a_record_of_an_unknown_version_is_undecided(make_run: Any) -> None:
    path = make_run("a")
    recipe = path / "golden" / "recipe.json"
    recipe.write_bytes(recipe.read_bytes().replace(b'"record_version":1', b'"record_version":2'))
    write_summary(RunFolder(path))
    run = read_run(path, "a")
    assert run.state == "undecided"
    assert any("record_version must be 1, got 2" in reason for reason in run.reasons)


def refuse_listing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let one folder refuse to be listed, as the system does for one without permission (not for root, though)."""
    real = Path.iterdir

    def iterdir(path: Path) -> Any:
        if path == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)


def test_a_subfolder_that_cannot_be_listed_is_found_and_undecided(
    make_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run("a")
    locked = tmp_path / "runs" / "deep" / "locked"
    locked.mkdir(parents=True)
    refuse_listing(monkeypatch, locked)
    assert find_runs(tmp_path / "runs") == [tmp_path / "runs" / "a", locked]
    run = read_run(locked, "locked")
    assert (run.state, run.reasons) == ("undecided", ("the folder must be readable, got Permission denied",))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may list any folder")
@pytest.mark.parametrize("mode", [0o000, 0o400, 0o100])
def test_a_subfolder_without_permission_is_found_and_undecided(tmp_path: Path, mode: int) -> None:
    locked = tmp_path / "runs" / "locked"
    (locked / "inner").mkdir(parents=True)
    locked.chmod(mode)
    try:
        assert [read_run(path, path.name).state for path in find_runs(tmp_path)] == ["undecided"]
    finally:
        locked.chmod(0o700)


@pytest.mark.parametrize("numerics", ["portable-f32", "stock"])
def test_the_profile_is_that_of_the_recipe(make_run: Any, numerics: str) -> None:
    assert read_run(make_run("a", numerics=numerics), "a").numerics == numerics


def test_a_recipe_whose_profile_is_no_text_has_none(make_run: Any) -> None:
    assert read_run(make_run("a", numerics=7), "a").numerics is None
