from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from samebits.errors import RecordError
from samebits.record.layout import RunFolder
from samebits.record.manifest import read_summary
from samebits.verify.difference import Difference
from samebits.verify.folders import FolderComparison, compare_folders
from samebits.verify.runs import (
    check_own_summaries,
    compare_environments,
    digest_of,
    has_judged_recipes,
    is_run,
    judge_recipe,
    order_files,
    recipe_changes,
    remark_on_observed,
    state_of,
    unfinished_run,
)

MakeRun = Callable[..., Path]


@pytest.fixture
def runs(make_run: MakeRun) -> tuple[RunFolder, RunFolder]:
    return RunFolder(make_run("one")), RunFolder(make_run("two"))


def folders(runs: tuple[RunFolder, RunFolder]) -> FolderComparison:
    return compare_folders(runs[0].golden, runs[1].golden)


def test_a_run_is_known_by_its_golden_folder(tmp_path: Path, make_run: MakeRun) -> None:
    assert is_run(make_run("run"))
    assert not is_run(tmp_path)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "golden").symlink_to(tmp_path / "run" / "golden")
    with pytest.raises(RecordError, match="plain folder, got a symbolic link"):
        is_run(tmp_path / "linked")


def test_digest_is_the_runs_own(runs: tuple[RunFolder, RunFolder]) -> None:
    found = folders(runs)
    assert digest_of(found.golden_files, set()) == read_summary(runs[0]).golden_digest
    assert digest_of(found.golden_files, {"recipe.json"}) is None
    assert digest_of({}, set()) is None
    assert digest_of({os.fsdecode(b"\xff"): {"sha256": "0" * 64, "bytes": 1}}, set()) is None


def test_causes_stand_before_effects() -> None:
    names = ["zzz", "results.json", "adapter_model.safetensors", "trace.jsonl", "recipe.json and results.json"]
    ordered = order_files(Difference("file", name) for name in names)
    assert [found.where for found in ordered] == [names[4], names[3], names[2], names[1], names[0]]


def test_state_is_told_by_what_lies_in_a_folder(make_run: MakeRun, tmp_path: Path) -> None:
    run = RunFolder(make_run("run"))
    assert state_of(run.path) == "finished"
    shutil.rmtree(run.golden)
    assert state_of(run.path) == "golden lost"
    run.summary.unlink()
    assert state_of(run.path) == "unfinished"
    shutil.rmtree(run.observed)
    assert state_of(run.path) == "empty"
    (run.path / ".partial-golden").mkdir()
    (run.path / ".partial-golden" / "recipe.json").touch()
    assert state_of(run.path) == "unfinished"
    shutil.rmtree(run.path / ".partial-golden")
    (run.path / "notes.txt").touch()
    assert state_of(run.path) == "no run"


def test_own_summaries_agree(runs: tuple[RunFolder, RunFolder]) -> None:
    assert check_own_summaries(*runs, folders(runs)) == ([], [])


def test_an_edited_golden_is_told_too(runs: tuple[RunFolder, RunFolder]) -> None:
    path = runs[0].golden / "results.json"
    path.write_bytes(path.read_bytes().replace(b"1.5", b"1.4"))
    (difference,), _ = check_own_summaries(*runs, folders(runs))
    assert difference.where == "golden's own artifact_summary.json"
    assert [(child.where, child.kind) for child in difference.children] == [("results.json", "edited")]


def test_a_damaged_summary_leaves_the_verdict_open(runs: tuple[RunFolder, RunFolder]) -> None:
    runs[1].summary.write_text('{"golden_digest":')
    (difference,), remarks = check_own_summaries(*runs, folders(runs))
    assert not difference.is_proven
    assert remarks == []
    runs[1].summary.unlink()
    assert check_own_summaries(*runs, folders(runs)) == ([], [])
    told = unfinished_run("candidate", runs[1].path)
    assert told is not None
    assert (told.where, told.is_proven) == ("candidate's own artifact_summary.json", False)
    shutil.rmtree(runs[1].observed)
    assert unfinished_run("candidate", runs[1].path) is None
    assert check_own_summaries(*runs, folders(runs)) == (
        [],
        ["the candidate has no artifact_summary.json: whether its files changed after the run is unknown"],
    )


@pytest.mark.parametrize("data", [None, b"{", b"[]", b"\xef\xbb\xbf{}", b'{"a":1,"a":1}'])
def test_recipe_that_is_missing_or_unreadable_proves_nothing(
    runs: tuple[RunFolder, RunFolder], data: bytes | None
) -> None:
    path = runs[1].golden / "recipe.json"
    path.unlink() if data is None else path.write_bytes(data)
    found = folders(runs)
    judge_recipe(found, runs[0].golden, runs[1].golden)
    (difference,) = found.differences
    assert not difference.is_proven
    assert "the candidate has no readable recipe" in difference.note
    own, _ = check_own_summaries(*runs, found)
    assert not own[0].proves_different


@pytest.mark.parametrize("version", [2, 0, None, "1", True, 1.0, [1], "absent"])
def test_an_unknown_record_version_is_named_and_proves_nothing(
    runs: tuple[RunFolder, RunFolder], version: object
) -> None:
    path = runs[1].golden / "recipe.json"
    recipe = json.loads(path.read_bytes())
    recipe["record_version"] = version
    if version == "absent":
        del recipe["record_version"]
    path.write_text(json.dumps(recipe))
    found = folders(runs)
    assert has_judged_recipes(found.differences)
    judge_recipe(found, runs[0].golden, runs[1].golden)
    (difference,) = found.differences
    assert (difference.kind, difference.is_proven) == ("version", False)
    got = "none" if version == "absent" else repr(version)
    assert f"the candidate has a recipe of an unknown version: record_version must be 1, got {got}" in difference.note
    assert not has_judged_recipes(found.differences)
    assert recipe_changes(found) == []


def test_recipe_changes_are_named_by_their_path(runs: tuple[RunFolder, RunFolder]) -> None:
    path = runs[1].golden / "recipe.json"
    recipe = json.loads(path.read_bytes())
    recipe["settings"] |= {"seed": 7, "list": [1]}
    recipe["numerics"] = "other"
    path.write_text(json.dumps(recipe))
    assert recipe_changes(folders(runs)) == ["numerics", "settings.seed", "settings.list"]


def test_environments_are_rows(make_run: MakeRun) -> None:
    one, two = RunFolder(make_run("one", n_threads=2)), RunFolder(make_run("two", n_threads=4))
    assert compare_environments(one, two) == ((("execution.n_threads", 2, 4),), [])
    (two.observed / "env.json").write_text("{")
    rows, remarks = compare_environments(one, two)
    assert rows == (("execution.n_threads", 2, 4),)
    assert "the candidate's observed/env.json cannot be read" in remarks[0]
    (two.observed / "execution.json").unlink()
    assert compare_environments(one, two)[0] is None


def test_what_a_side_did_not_observe_is_told(make_run: MakeRun, tmp_path: Path) -> None:
    one, two = make_run("one"), make_run("two")
    assert remark_on_observed(one, two) == []
    (two / "observed" / "env.json").unlink()
    assert remark_on_observed(one, two) == [
        "the candidate has no observed/env.json: the machines cannot be compared in that"
    ]
    shutil.rmtree(two / "observed")
    assert "no observed/execution.json and no observed/env.json" in remark_on_observed(one, two)[0]
    assert remark_on_observed(two, tmp_path)[0].startswith("the golden has no")
