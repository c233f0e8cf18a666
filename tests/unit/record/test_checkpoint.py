"""Checkpoints (R-40 to R-46); damage, full disks and kills are in tests/faults/test_record_*.py."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.canonical.digests import sha256_bytes
from samebits.errors import CheckpointError, StorageError
from samebits.record.checkpoint import (
    MAX_STEP,
    checkpoints,
    keep_newest,
    latest_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from samebits.record.layout import MAX_JSON_BYTES, RunFolder

RECIPE = sha256_bytes(b"recipe")
TENSORS = {
    "parameter.a": np.array([[1.5, -0.0], [np.nan, 1e-40]], np.float32),
    "step": np.array(3.0, np.float32),
    "rng": np.arange(256, dtype=np.uint8),
    "empty": np.zeros((0, 2), np.int64),
}
STATE = {"epoch": 1, "loss_sum": (0.1).hex(), "trace": [{"k": "\u00fc"}], "nothing": None, "flag": True}


@pytest.fixture
def empty(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def _write(run: RunFolder, step: int = 3) -> Path:
    return write_checkpoint(run, step, TENSORS, STATE, recipe_sha256=RECIPE)


def test_what_is_written_is_read_to_the_bit(empty: RunFolder) -> None:
    path = _write(empty)
    assert path == empty.checkpoints / "step-00000003"
    assert sorted(file.name for file in path.iterdir()) == ["manifest.json", "state.json", "tensors.safetensors"]
    read = read_checkpoint(path, RECIPE)
    assert (read.step, read.state) == (3, STATE)
    assert {name: (array.dtype, array.shape, array.tobytes()) for name, array in read.tensors.items()} == {
        name: (array.dtype, array.shape, array.tobytes()) for name, array in TENSORS.items()
    }


def test_the_arrays_are_copies_that_outlive_the_file(empty: RunFolder) -> None:
    path = _write(empty)
    read = read_checkpoint(path, RECIPE)
    (path / "tensors.safetensors").write_bytes(b"")
    read.tensors["step"][...] = 4
    assert read.tensors["rng"].tobytes() == TENSORS["rng"].tobytes()


def test_the_same_state_has_the_same_bytes(tmp_path: Path) -> None:
    one, other = _write(RunFolder(tmp_path / "1")), _write(RunFolder(tmp_path / "2"))
    assert {file.name: file.read_bytes() for file in one.iterdir()} == {
        file.name: file.read_bytes() for file in other.iterdir()
    }


def test_they_are_listed_in_order_and_leftovers_are_not(empty: RunFolder) -> None:
    assert checkpoints(empty) == []
    assert latest_checkpoint(empty) is None
    for step in (10, 2, MAX_STEP, 0):
        _write(empty, step)
    (empty.checkpoints / ".partial-step-00000099").mkdir()
    (empty.checkpoints / "step-1").mkdir()
    assert [step for step, _ in checkpoints(empty)] == [0, 2, 10, MAX_STEP]
    assert latest_checkpoint(empty) == empty.checkpoints / "step-99999999"


def test_leftovers_go_with_the_next_write(empty: RunFolder) -> None:
    _write(empty, 1)
    (empty.checkpoints / ".partial-step-00000002").mkdir()
    (empty.checkpoints / ".partial-file").write_bytes(b"x")
    (empty.checkpoints / ".partial-link").symlink_to(empty.checkpoints / "step-00000001")
    _write(empty, 2)
    assert sorted(path.name for path in empty.checkpoints.iterdir()) == ["step-00000001", "step-00000002"]
    assert read_checkpoint(empty.checkpoints / "step-00000001", RECIPE).step == 1


def test_the_newest_is_never_passed_over(empty: RunFolder) -> None:
    _write(empty, 1)
    (_write(empty, 2) / "state.json").write_bytes(b"{}\n")
    latest = latest_checkpoint(empty)
    assert latest == empty.checkpoints / "step-00000002"
    with pytest.raises(CheckpointError, match=r"truncated.*delete .*step-00000002 to fall back"):
        read_checkpoint(latest, RECIPE)


def test_a_checkpoint_of_another_recipe_is_refused(empty: RunFolder) -> None:
    with pytest.raises(CheckpointError, match="of the recipe that is resumed"):
        read_checkpoint(_write(empty), sha256_bytes(b"another"))


def test_a_step_has_one_checkpoint(empty: RunFolder) -> None:
    path = _write(empty)
    with pytest.raises(CheckpointError, match="a second"):
        _write(empty)
    assert read_checkpoint(path, RECIPE).step == 3


@pytest.mark.parametrize("step", [-1, MAX_STEP + 1])
def test_a_step_beyond_eight_digits_is_refused(empty: RunFolder, step: int) -> None:
    with pytest.raises(CheckpointError, match="must be from 0"):
        _write(empty, step)
    assert not empty.checkpoints.exists()


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"a": {"b": [1, 0.5]}}, r"no floats, got state\.a\.b\[1\] = 0\.5"),
        ({"a": np.float64(1)}, "no floats"),
        ({"a": 2**53}, "must be JSON"),
        ({"a": "\ud800"}, "must be JSON"),
        ({"a": object()}, "must be JSON"),
        ({"a": "x" * MAX_JSON_BYTES}, "at most"),
    ],
)
def test_a_state_that_would_not_come_back_is_refused(empty: RunFolder, state: Any, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        write_checkpoint(empty, 1, TENSORS, state, recipe_sha256=RECIPE)
    assert checkpoints(empty) == []


def test_a_state_nested_too_deep_is_refused_before_it_is_needed(empty: RunFolder) -> None:
    write_checkpoint(empty, 1, TENSORS, {"a": _nested(62)}, recipe_sha256=RECIPE)
    assert read_checkpoint(empty.checkpoints / "step-00000001", RECIPE).state == {"a": _nested(62)}
    with pytest.raises(CheckpointError, match="64 deep"):
        write_checkpoint(empty, 2, TENSORS, {"a": _nested(63)}, recipe_sha256=RECIPE)


@pytest.mark.parametrize(("limit", "kept"), [(None, [1, 2, 3]), (3, [1, 2, 3]), (2, [2, 3]), (1, [3]), (9, [1, 2, 3])])
def test_keep_newest(empty: RunFolder, limit: int | None, kept: list[int]) -> None:
    for step in (1, 2, 3):
        _write(empty, step)
    keep_newest(empty, limit)
    assert [step for step, _ in checkpoints(empty)] == kept
    assert len(list(empty.checkpoints.iterdir())) == len(kept)


def test_an_old_checkpoint_loses_its_name_before_its_files(empty: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-46: killed while the files go, no checkpoint is left that looks damaged."""
    for step in (1, 2):
        _write(empty, step)
    seen = []

    def killed(path: Path) -> None:
        seen.append(path.name)
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        keep_newest(empty, 1)
    assert seen == [".partial-step-00000001"]
    assert [step for step, _ in checkpoints(empty)] == [2]


def test_a_checkpoint_that_cannot_be_removed_is_said(empty: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (1, 2):
        _write(empty, step)

    def refused(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rename", refused)
    with pytest.raises(StorageError, match=r"must be removable.*Permission denied"):
        keep_newest(empty, 1)


def test_a_folder_that_cannot_be_listed_is_said(empty: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(empty)

    def refused(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(StorageError, match="must be readable"):
        checkpoints(empty)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"step": 4}, "of step 3"),
        ({"step": True}, "of step 3"),
        ({"step": 3.5}, "of step 3"),
        ({"recipe_sha256": None}, "of the recipe"),
        ({"record_version": 2}, "record_version 1"),
        ({"files": {}}, "one entry or more"),
        ({"more": 1}, "`more` unknown"),
    ],
)
def test_a_manifest_that_is_not_this_checkpoints_is_refused(empty: RunFolder, change: Any, said: str) -> None:
    path = _write(empty)
    manifest = json.loads((path / "manifest.json").read_bytes())
    (path / "manifest.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(CheckpointError, match=said):
        read_checkpoint(path, RECIPE)


def test_a_folder_of_another_name_is_refused(empty: RunFolder) -> None:
    path = _write(empty)
    path.rename(path.with_name("step-3"))
    with pytest.raises(CheckpointError, match="named step-"):
        read_checkpoint(path.with_name("step-3"), RECIPE)
