"""What a run's own files tell before anything is rebuilt."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from samebits.canonical.json_bytes import dump_json
from samebits.record.layout import GOLDEN_FILES, RunFolder
from samebits.record.manifest import write_summary
from samebits.verify.difference import Difference
from samebits.verify.recorded import Recorded, read_recorded, recorded_execution, recorded_threads


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained_run, tmp_path / "run")


def told(run: Path) -> Difference:
    found = read_recorded(run)
    assert isinstance(found, Difference)
    return found


def reseal(run: Path) -> None:
    (run / "artifact_summary.json").unlink()
    write_summary(RunFolder(run))


def test_a_whole_run_is_read(run: Path) -> None:
    found = read_recorded(run)
    assert isinstance(found, Recorded)
    assert b"".join(found.lines) == (run / "golden" / "trace.jsonl").read_bytes()
    assert [record["step"] for record in found.trace] == [1, 2, 3, 4, 5, 6]
    assert found.golden_digest == json.loads((run / "artifact_summary.json").read_bytes())["golden_digest"]


@pytest.mark.parametrize("name", [name for name in GOLDEN_FILES if name != "recipe.json"])
def test_an_edited_file_makes_the_run_different(run: Path, name: str) -> None:
    path = run / "golden" / name
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    found = told(run)
    assert (found.kind, found.proves_different) == ("edited", True)
    assert [child.where for child in found.children] == [name]


def test_a_missing_file_makes_the_run_different(run: Path) -> None:
    (run / "golden" / "results.json").unlink()
    assert told(run).proves_different
    reseal(run)
    found = told(run)
    assert (found.kind, found.where, found.proves_different) == ("missing", "golden/results.json", True)


def test_an_extra_file_makes_the_run_different(run: Path) -> None:
    (run / "golden" / "adapter_model.bin").write_bytes(b"\x80\x04.")
    assert told(run).proves_different
    reseal(run)
    found = told(run)
    assert (found.kind, found.where, found.proves_different) == ("extra", "golden/adapter_model.bin", True)


def test_a_broken_chain_makes_the_run_different(run: Path) -> None:
    path = run / "golden" / "trace.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[1], lines[0], *lines[2:]]))
    reseal(run)
    found = told(run)
    assert (found.kind, found.proves_different) == ("chain", True)


@pytest.mark.parametrize(
    "plant",
    [
        lambda run: (run / "golden" / "recipe.json").unlink(),
        lambda run: (run / "golden" / "recipe.json").write_bytes(b"{"),
        lambda run: (run / "golden" / "recipe.json").write_bytes(dump_json({"record_version": 2})),
        lambda run: (run / "artifact_summary.json").unlink(),
        lambda run: (run / "artifact_summary.json").write_bytes(b"[]"),
        lambda run: shutil.rmtree(run / "golden"),
        shutil.rmtree,
        lambda run: (shutil.rmtree(run), run.mkdir()),
        lambda run: (shutil.rmtree(run), run.write_text("")),
        lambda run: [shutil.rmtree(run / name) for name in ("golden", "observed", "checkpoints")],
    ],
)
def test_what_cannot_be_read_is_undecided(run: Path, plant: Any) -> None:
    plant(run)
    found = told(run)
    assert not found.proves_different
    assert found.note


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
@pytest.mark.parametrize("name", ["golden/trace.jsonl", "golden", "artifact_summary.json"])
def test_a_link_is_not_followed(run: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    (run / name).rename(outside)
    (run / name).symlink_to(outside)
    assert not told(run).proves_different


def test_observed_threads_are_taken_only_where_they_are_a_number(run: Path) -> None:
    path = run / "observed" / "execution.json"
    for value, expected in ((3, 3), (True, None), ("3", None), (0, None), (1025, None), (None, None)):
        path.write_bytes(dump_json({"n_threads": value}))
        assert recorded_threads(RunFolder(run)) == expected
    path.write_bytes(b"{")
    assert recorded_execution(RunFolder(run)) == {}
