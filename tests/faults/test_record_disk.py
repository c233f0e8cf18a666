"""A disk that is full, at every byte count and every sync and rename: the write fails in one sentence, nothing else."""

import errno
import io
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.errors import StorageError
from samebits.record.checkpoint import checkpoints, read_checkpoint, write_checkpoint
from samebits.record.documents import results_document, write_golden, write_observed
from samebits.record.layout import GOLDEN_FILES, RunFolder
from samebits.record.manifest import check_summary, golden_checksums, read_summary
from samebits.record.trace import FIRST_PREVIOUS_SHA256, step_record, trace_bytes

DIGEST = "0" * 64
RECORD = step_record(
    step=1, sample_ids=[0], token_sha256=DIGEST, loss=1.5, grad_norm=1.0, learning_rate=0.1, n_target_tokens=3,
    gradients_sha256=DIGEST, parameters_sha256=DIGEST, optimizer_sha256=DIGEST, previous_sha256=FIRST_PREVIOUS_SHA256,
)  # fmt: skip
ADAPTER_CONFIG = {
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "bias": "none",
    "fan_in_fan_out": False, "init_lora_weights": True, "modules_to_save": None, "target_modules": ["q"],
    "use_dora": False, "use_rslora": False,
}  # fmt: skip
NUMBERS = np.arange(512, dtype=np.float32)
FULL = OSError(errno.ENOSPC, "No space left on device")


def _checkpoint(run: RunFolder, numbers: np.ndarray[Any, Any] = NUMBERS) -> None:
    write_checkpoint(run, 2, {"a": numbers}, {"epoch": 0}, recipe_sha256=DIGEST)


def _golden(run: RunFolder, numbers: np.ndarray[Any, Any] = NUMBERS) -> None:
    write_golden(
        run,
        recipe={"record_version": 1},
        training_args={"seed": 1},
        results=results_document(1.5, None, n_steps=1, n_target_tokens=3, trace_root_sha256="0" * 64),
        trace=trace_bytes([RECORD]),
        generations=[{"prompt": "a"}],
        adapter_config=ADAPTER_CONFIG,
        adapter={"a": numbers},
    )


def _observed(run: RunFolder) -> None:
    write_observed(run, env={"x": "y" * 500}, execution={"n": 1}, training_metadata={"host": "new"})


WRITES: dict[str, Callable[[RunFolder], None]] = {"checkpoint": _checkpoint, "golden": _golden, "observed": _observed}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return _new_run(tmp_path / "run")


def _new_run(path: Path) -> RunFolder:
    run = RunFolder(path)
    write_checkpoint(run, 1, {"a": np.ones(8, np.float32)}, {"epoch": 0}, recipe_sha256=DIGEST)
    write_observed(run, env={"x": "old"}, execution={}, training_metadata={})
    return run


def _contents(run: RunFolder) -> dict[str, bytes]:
    return {path.relative_to(run.path).as_posix(): path.read_bytes() for path in run.path.rglob("*") if path.is_file()}


class _Limited(io.RawIOBase):
    """A file on a disk with room for so many bytes more, shared by all files."""

    def __init__(self, stream: Any, room: list[int]) -> None:
        self.stream, self.room = stream, room

    def write(self, data: Any) -> int:
        taken = min(len(data), self.room[0])
        self.stream.write(data[:taken])
        self.room[0] -= taken
        if taken < len(data):
            raise FULL
        return taken

    def flush(self) -> None:
        self.stream.flush()

    def fileno(self) -> int:
        return int(self.stream.fileno())

    def close(self) -> None:
        self.stream.close()


def _leave_room(monkeypatch: pytest.MonkeyPatch, n_bytes: int) -> list[int]:
    room, real = [n_bytes], Path.open

    def limited(self: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        stream = real(self, mode, *rest, **named)
        return _Limited(stream, room) if mode[0] in "wxa" else stream

    monkeypatch.setattr(Path, "open", limited)
    return room


def _fail_at(monkeypatch: pytest.MonkeyPatch, n: int) -> list[str]:
    calls: list[str] = []

    def failing(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*rest: Any, **named: Any) -> Any:
            calls.append(name)
            if len(calls) == n:
                raise FULL
            return real(*rest, **named)

        return call

    for name in ("fsync", "replace", "rename", "mkdir"):
        monkeypatch.setattr(os, name, failing(name, getattr(os, name)))
    return calls


def _check_nothing_is_lost(run: RunFolder, before: dict[str, bytes], whole: dict[str, bytes]) -> None:
    """What was there is there; what is new is whole; and no room is held by what nobody reads."""
    assert read_checkpoint(checkpoints(run)[0][1], DIGEST).step == 1
    after = _contents(run)
    assert not [name for name in after if ".partial-" in name]
    assert {name for name in after if after[name] not in (before.get(name), whole[name])} == set()
    for folder in ("golden", "checkpoints/step-00000002"):
        names = {name for name in after if name.startswith(f"{folder}/")}
        assert names in (set(), {name for name in whole if name.startswith(f"{folder}/")})
    if run.is_complete():
        assert check_summary(run) == []


def _whole(name: str, path: Path) -> dict[str, bytes]:
    run = _new_run(path)
    WRITES[name](run)
    return _contents(run)


def _redo(name: str, run: RunFolder) -> None:
    if not (name == "golden" and run.is_complete()) and not (name == "checkpoint" and len(checkpoints(run)) == 2):
        WRITES[name](run)


@pytest.mark.parametrize("name", WRITES)
def test_a_disk_full_after_any_number_of_bytes(
    name: str, run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, whole = _contents(run), _whole(name, tmp_path / "whole")
    n_bytes = sum(len(whole[path]) for path in whole if whole[path] != before.get(path))
    for room in [*range(0, n_bytes, max(1, n_bytes // 40)), n_bytes - 1]:
        with monkeypatch.context() as patched:
            _leave_room(patched, room)
            with pytest.raises(StorageError, match="No space left on device"):
                WRITES[name](run)
        _check_nothing_is_lost(run, before, whole)
    with monkeypatch.context() as patched:
        left = _leave_room(patched, n_bytes)
        WRITES[name](run)
    assert left == [0]
    assert _contents(run) == whole


@pytest.mark.parametrize("name", WRITES)
def test_a_disk_that_refuses_any_sync_rename_or_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _whole(name, tmp_path / "whole")
    for n in range(1, 100):
        run = _new_run(tmp_path / str(n))
        before = _contents(run)
        with monkeypatch.context() as patched:
            calls = _fail_at(patched, n)
            said = _try(name, run)
        if len(calls) < n:
            break
        # Only a folder that is there already may be refused without harm.
        assert "No space left on device" in said or (name, calls[n - 1]) == ("observed", "mkdir")
        _check_nothing_is_lost(run, before, whole)
        _redo(name, run)
        assert _contents(run) == whole
    assert len(calls) == n - 1 > 8
    assert {"fsync", "replace"} <= set(calls)


def _try(name: str, run: RunFolder) -> str:
    """Return what the write said of the disk; nothing where it was done."""
    try:
        WRITES[name](run)
    except StorageError as error:
        return str(error)
    return ""


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system does not tell what a descriptor is of")
@pytest.mark.parametrize("name", WRITES)
def test_what_is_renamed_is_synced_before_and_its_folder_after(
    name: str, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-06, which no kill can show: without the syncs, a power cut may keep a name and lose its bytes."""
    synced: list[Path] = []
    renames: list[tuple[Path, Path, int]] = []

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())

    def renaming(real: Callable[..., None]) -> Callable[..., None]:
        def call(source: Path, target: Path) -> None:
            renames.append((Path(source), Path(target), len(synced)))
            real(source, target)

        return call

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        for function in ("replace", "rename"):
            patched.setattr(os, function, renaming(getattr(os, function)))
        WRITES[name](run)
    assert len(renames) >= 3
    for source, target, n_synced in renames:
        assert source in synced[:n_synced], target
        assert target.parent in synced[n_synced:], target
    # The folder that holds `golden`, `checkpoints` and `observed`: those names must last too.
    assert run.path in synced


def test_a_write_that_is_not_whole_would_be_found(run: RunFolder, tmp_path: Path) -> None:
    """The checks above can fail: each is shown a folder that breaks it."""
    before, whole = _contents(run), _whole("golden", tmp_path / "whole")
    _check_nothing_is_lost(run, before, whole)
    for name, data in (
        (".partial-x", b""),
        ("golden/recipe.json", whole["golden/recipe.json"]),
        ("observed/env.json", b""),
    ):
        path = run.path / name
        kept = path.read_bytes() if path.exists() else None
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        with pytest.raises((AssertionError, KeyError)):
            _check_nothing_is_lost(run, before, whole)
        path.unlink() if kept is None else path.write_bytes(kept)
    _check_nothing_is_lost(run, before, whole)
    (run.checkpoints / "step-00000001" / "state.json").write_bytes(b"")
    with pytest.raises(Exception, match="truncated"):
        _check_nothing_is_lost(run, before, whole)


ROOM_BYTES = 256 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not shutil.which("mount"):
        pytest.skip("this system has no `mount`")
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM_BYTES}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("name", ["checkpoint", "golden"])
def test_a_disk_that_is_really_full(name: str, small_disk: Path) -> None:
    run = _new_run(small_disk / "run")
    before = _contents(run)
    large = np.zeros(ROOM_BYTES // 4, np.float32)
    for _ in range(2):
        with pytest.raises(StorageError, match="No space left on device"):
            _checkpoint(run, large) if name == "checkpoint" else _golden(run, large)
        assert _contents(run) == before
        assert read_checkpoint(run.checkpoints / "step-00000001", DIGEST).step == 1
    # The room is free again: the same write, smaller, succeeds.
    WRITES[name](run)
    if name == "golden":
        assert check_summary(run) == []
    assert [read_checkpoint(path, DIGEST).step for _, path in checkpoints(run)] == (
        [1, 2] if name == "checkpoint" else [1]
    )


def test_a_disk_really_full_to_the_last_block(small_disk: Path) -> None:
    """However little is left, a run is finished and right, or not finished; never in between."""
    run = _new_run(small_disk / "run")
    ballast = small_disk / "ballast"
    outcomes = set()
    for n_blocks in range(0, 24, 2):
        ballast.write_bytes(b"x" * (os.statvfs(small_disk).f_bfree * 4096))
        os.truncate(ballast, ballast.stat().st_size - n_blocks * 4096)
        done = not _try("golden", run)
        outcomes.add(done)
        ballast.unlink()
        assert read_checkpoint(run.checkpoints / "step-00000001", DIGEST).step == 1
        assert run.is_complete() == done
        if done:
            assert check_summary(run) == []
            assert read_summary(run).artifact_checksums.keys() == {f"golden/{name}" for name in GOLDEN_FILES}
            break
        assert len(golden_checksums(run)) in (0, len(GOLDEN_FILES))
    assert outcomes == {True, False}
