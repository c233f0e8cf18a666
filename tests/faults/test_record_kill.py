"""A process killed at every operation of every write of the record: what was there is there, what is new is whole.

A server process imports NumPy once and forks a child for each kill. The child counts its operations on files (a piece
of a write, sync, rename, new folder, removal) and dies by SIGKILL just before the n-th; a write dies half-way.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.canonical.json_bytes import dump_json
from samebits.errors import RecordError
from samebits.record.checkpoint import checkpoints, keep_newest, latest_checkpoint, read_checkpoint, write_checkpoint
from samebits.record.documents import results_document, write_golden, write_observed
from samebits.record.layout import GOLDEN_FILES, RunFolder
from samebits.record.manifest import check_summary, golden_checksums
from samebits.record.trace import FIRST_PREVIOUS_SHA256, step_record, trace_bytes

if sys.platform == "win32":
    pytest.skip("forks and signals", allow_module_level=True)

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


def _checkpoint(run: RunFolder, step: int = 3) -> None:
    tensors = {"a": np.arange(64, dtype=np.float32) + step}
    write_checkpoint(run, step, tensors, {"epoch": step}, recipe_sha256=DIGEST)


def _golden(run: RunFolder) -> None:
    write_golden(
        run,
        recipe={"record_version": 1},
        training_args={"seed": 1},
        results=results_document(1.5, None, n_steps=1, n_target_tokens=3, trace_root_sha256="0" * 64),
        trace=trace_bytes([RECORD]),
        generations=[{"prompt": "a"}],
        adapter_config=ADAPTER_CONFIG,
        adapter={"a": np.arange(64, dtype=np.float32)},
    )


def _observed(run: RunFolder) -> None:
    write_observed(run, env={"x": "new"}, execution={"n": 2}, training_metadata={"host": "new"})


def _keep(run: RunFolder) -> None:
    keep_newest(run, 1)


def _careless(run: RunFolder) -> None:
    """Write a checkpoint as nobody should: under its own name from the start."""
    path = run.checkpoints / "step-00000003"
    path.mkdir()
    for name in ("tensors.safetensors", "state.json", "manifest.json"):
        with (path / name).open("wb") as stream:
            stream.write(b"1234")
            os.fsync(stream.fileno())


WRITES: dict[str, Callable[[RunFolder], None]] = {
    "checkpoint": _checkpoint,
    "golden": _golden,
    "golden again": _golden,
    "observed": _observed,
    "keep": _keep,
    "careless": _careless,
}
N_POINTS = {"checkpoint": 17, "golden": 38, "golden again": 47, "observed": 12, "keep": 5}
"""Each kind of write has at least so many operations to die before."""


def _prepare(name: str, path: Path) -> RunFolder:
    """Return a run with two checkpoints and old observed files; for `golden again`, with an unfinished golden."""
    run = RunFolder(path)
    _checkpoint(run, 1)
    _checkpoint(run, 2)
    write_observed(run, env={"x": "old"}, execution={"n": 1}, training_metadata={"host": "old"})
    if name == "golden again":
        _golden(run)
        run.summary.unlink()
    return run


def _die_at(n: int) -> list[str]:
    """Make this process kill itself just before its n-th operation on a file; return the operations done."""
    operations: list[str] = []

    def is_last(operation: str) -> bool:
        operations.append(operation)
        return len(operations) == n

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def watched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*rest: Any, **named: Any) -> Any:
            if is_last(name):
                die()
            return real(*rest, **named)

        return call

    for name in ("fsync", "replace", "rename", "mkdir", "unlink", "rmdir"):
        setattr(os, name, watched(name, getattr(os, name)))
    real_open = Path.open

    def opened(self: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        return (
            _Dying(real_open(self, mode, *rest, **named), is_last, die) if mode[0] in "wxa" else real_open(self, mode)
        )

    Path.open = opened  # type: ignore[method-assign]
    return operations


class _Dying:
    """A file, a piece of which reaches the disk half-way when its time has come."""

    def __init__(self, stream: Any, is_last: Callable[[str], bool], die: Callable[[], None]) -> None:
        self.stream, self.is_last, self.die = stream, is_last, die

    def write(self, data: Any) -> int:
        if self.is_last("write"):
            self.stream.write(data[: len(data) // 2])
            self.stream.flush()
            self.die()
        return int(self.stream.write(data))

    def __enter__(self) -> _Dying:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _serve() -> None:
    """Answer each line `{"write", "out", "n"}` by how the forked child that did it ended."""
    for line in sys.stdin:
        job = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                operations = _die_at(job["n"])
                WRITES[job["write"]](RunFolder(Path(job["out"])))
                os.write(writing, json.dumps(operations).encode())
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            text = stream.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"status": status, "operations": json.loads(text or b"null")}), flush=True)


class Server:
    """The process that forks."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, write: str, out: Path, n: int) -> dict[str, Any]:
        """Do a write in a child that dies before its n-th operation; return its status, and operations if it lived."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"write": write, "out": str(out), "n": n}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End the process and wait for it."""
        self._process.communicate()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def _contents(run: RunFolder) -> dict[str, bytes]:
    return {path.relative_to(run.path).as_posix(): path.read_bytes() for path in run.path.rglob("*") if path.is_file()}


def _check_nothing_is_lost(run: RunFolder, name: str, before: dict[str, bytes], whole: dict[str, bytes]) -> None:
    # Every checkpoint that a reader can see is whole, and the newest from before is among them.
    found = {step: read_checkpoint(path, DIGEST).state["epoch"] for step, path in checkpoints(run)}
    assert found.items() <= {1: 1, 2: 2, 3: 3}.items()
    assert 2 in found
    assert latest_checkpoint(run) == run.checkpoints / f"step-{max(found):08d}"
    if name != "keep":
        assert 1 in found
    # A golden folder is whole, with its summary or without it, or not there.
    golden = golden_checksums(run)
    assert not golden or golden.keys() == {f"golden/{file}" for file in GOLDEN_FILES}
    assert not run.is_complete() or check_summary(run) == []
    # Each file under its own name has its old bytes or its new ones.
    for path, data in _contents(run).items():
        if ".partial-" not in path:
            assert data in (before.get(path), whole.get(path)), path


def _redo(name: str, run: RunFolder) -> None:
    if name == "checkpoint" and len(checkpoints(run)) == 3:
        return
    if name.startswith("golden") and run.is_complete():
        return
    WRITES[name](run)


@pytest.mark.parametrize("name", N_POINTS)
def test_a_kill_before_any_operation_loses_nothing_and_the_write_can_be_redone(
    name: str, server: Server, tmp_path: Path
) -> None:
    prepared = _prepare(name, tmp_path / "prepared")
    before = _contents(prepared)
    shutil.copytree(prepared.path, tmp_path / "whole")
    WRITES[name](RunFolder(tmp_path / "whole"))
    whole = _contents(RunFolder(tmp_path / "whole"))
    for n in range(1, 200):
        run = RunFolder(tmp_path / str(n))
        shutil.copytree(prepared.path, run.path)
        answer = server.run(name, run.path, n)
        if answer["status"] == 0:
            break
        assert answer["status"] == -signal.SIGKILL
        _check_nothing_is_lost(run, name, before, whole)
        _redo(name, run)
        _check_nothing_is_lost(run, name, before, whole)
        assert _contents(run) == whole
    assert len(answer["operations"]) == n - 1 >= N_POINTS[name]


def test_a_write_killed_twice_can_be_redone(server: Server, tmp_path: Path) -> None:
    for n in range(3, 15, 3):
        run = _prepare("checkpoint", tmp_path / str(n))
        assert server.run("checkpoint", run.path, n)["status"] == -signal.SIGKILL
        # Now with what the first kill left, which is removed first.
        assert server.run("checkpoint", run.path, n)["status"] == -signal.SIGKILL
        _redo("checkpoint", run)
        assert [step for step, _ in checkpoints(run)] == [1, 2, 3]
        assert not list(run.checkpoints.glob(".partial-*"))


def test_a_careless_writer_would_be_caught(server: Server, tmp_path: Path) -> None:
    """The checks above can fail: a checkpoint written under its own name is found half-written at nearly every kill."""
    caught = []
    for n in range(1, 20):
        run = _prepare("careless", tmp_path / str(n))
        before = _contents(run)
        if server.run("careless", run.path, n)["status"] == 0:
            break
        try:
            _check_nothing_is_lost(run, "careless", before, before)
        except (RecordError, AssertionError):
            caught.append(n)
    # The folder, then a write and a sync for each of three files; before the folder is made, nothing is there.
    assert caught == list(range(2, 8))


def test_a_half_written_summary_would_be_caught(tmp_path: Path) -> None:
    run = _prepare("golden", tmp_path / "run")
    _golden(run)
    whole = _contents(run)
    _check_nothing_is_lost(run, "golden", whole, whole)
    for data in (b"", run.summary.read_bytes()[:-2], dump_json({})):
        run.summary.write_bytes(data)
        with pytest.raises(RecordError):
            _check_nothing_is_lost(run, "golden", whole, whole)


if __name__ == "__main__":
    _serve()
