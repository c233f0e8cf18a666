"""Trainings killed for good, at chosen and at random moments, then resumed: the golden digest must not know.

A server process for each numerics profile imports its engine once and forks a child for each training, so that a kill
costs a second, not ten. A child dies by SIGKILL just before a chosen operation on a file of its run (Python's audit
events see every one), by the system in the middle of a write, or at a random time.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from samebits.numerics import library

if sys.platform == "win32":
    pytest.skip("forks and signals", allow_module_level=True)

# Three steps an epoch: the last checkpoint lies behind the first epoch's end.
RECIPE = {"max_steps": 5, "save_steps": 1, "save_total_limit": 2, "threads": 1, "generation_max_new_tokens": 2,
          "per_device_train_batch_size": 8}  # fmt: skip
WATCHED = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}


def _operation(event: str, arguments: tuple[Any, ...], out: str) -> str | None:
    """Return `<event> <path below the run folder>` of an audit event that changes a file of the run."""
    if event not in WATCHED or (event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR)):
        return None
    path = os.fsdecode(arguments[1 if event == "os.rename" else 0]) if not isinstance(arguments[0], int) else ""
    return f"{event} {path[len(out) + 1 :]}" if path.startswith(out) else None


def _train(job: dict[str, Any]) -> None:
    """Train in this forked child, dying as the job says; report what came of it."""
    from samebits.errors import SamebitsError
    from samebits.recipe.reader import settings_from
    from samebits.record.progress import Silence
    from samebits.study.trainer import trainer

    operations: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        operation = _operation(event, arguments, job["out"])
        if operation is not None:
            operations.append(operation)
            if operation == job.get("die_before"):
                os.kill(os.getpid(), signal.SIGKILL)

    class Listener(Silence):
        def on_note(self, text: str) -> None:
            notes.append(text)

        def on_step(self, step: int, loss: float, learning_rate: float, grad_norm: float) -> None:
            if step == job.get("die_after_step"):
                os.kill(os.getpid(), signal.SIGKILL)
            if step == job.get("full_after_step"):
                # Python reports an error for a file too long; by default the system kills in the middle of the write.
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL if job["kill"] else signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (job["n_bytes"], resource.RLIM_INFINITY))

    notes: list[str] = []
    os.environ |= job.get("variables", {})
    sys.addaudithook(watch)
    report: dict[str, Any] = {}
    try:
        settings = settings_from({**RECIPE, **job["settings"]}, where="job")
        train = trainer(settings.numerics)
        outcome = train(settings, Path(job["out"]), resume=job["resume"], progress=Listener())
        report = {"golden_digest": outcome.golden_digest}
    except SamebitsError as error:
        report = {"error": str(error), "kind": type(error).__name__}
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(json.dumps({**report, "notes": notes, "operations": operations}), flush=True)


def _import_engine(numerics: str, libraries: str) -> None:
    """Import for all children what is slow or late; with one thread, so that there is none that a fork would lose."""
    from samebits.numerics import library
    from samebits.recipe.reader import settings_from

    library.LIBRARIES = Path(libraries)
    if numerics != "stock":
        import samebits.training.portable  # noqa: F401

        return
    from samebits.models.seeded import embedded_folder
    from samebits.pytorch.facts import torch_facts
    from samebits.pytorch.quiet import quiet_libraries
    from samebits.pytorch.stock import begin

    torch_facts()
    with quiet_libraries():
        begin(embedded_folder(), settings_from({**RECIPE, "numerics": numerics}, where="server"), n_steps=1)


def _serve(numerics: str, libraries: str) -> None:
    _import_engine(numerics, libraries)
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            _train(job)
            os._exit(0)
        if "die_after_s" in job:
            timer = threading.Timer(job["die_after_s"], os.kill, (child, signal.SIGKILL))
            timer.start()
        _, status = os.waitpid(child, 0)
        if "die_after_s" in job:
            timer.cancel()
        if status:
            print(json.dumps({"killed": os.WTERMSIG(status)}), flush=True)


class Server:
    """Runs one training after another in forked children."""

    def __init__(self, numerics: str, libraries: Path) -> None:
        self.numerics = numerics
        environment = {**os.environ, "PYTHONHASHSEED": "42", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
        self._process = subprocess.Popen(
            [sys.executable, __file__, numerics, str(libraries)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def train(
        self, out: Path, *, resume: bool = False, settings: dict[str, Any] | None = None, **job: Any
    ) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        job |= {"out": str(out), "resume": resume, "settings": {"numerics": self.numerics, **(settings or {})}}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module", params=["stock", "portable-f32"])
def server(request: pytest.FixtureRequest, native_libraries: Path) -> Iterator[Server]:
    running = Server(request.param, native_libraries)
    yield running
    running.close()


@pytest.fixture(scope="module")
def whole(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A training that nobody killed: its digest, its operations on files, and the time it took."""
    folder = tmp_path_factory.mktemp("whole")
    first = server.train(folder / "first")
    started = time.perf_counter()
    answer = server.train(folder / "second")
    assert answer["golden_digest"] == first["golden_digest"]
    answer["total_s"] = time.perf_counter() - started
    return answer


BEFORE = (
    "open .partial-.partial-proof",
    "os.rename .partial-proof",
    "os.remove .partial-proof",
    "os.mkdir checkpoints/.partial-step-00000003",
    "open checkpoints/.partial-step-00000003/.partial-tensors.safetensors",
    "os.rename checkpoints/.partial-step-00000003/tensors.safetensors",
    "open checkpoints/.partial-step-00000003/.partial-state.json",
    "open checkpoints/.partial-step-00000003/.partial-manifest.json",
    "os.rename checkpoints/.partial-step-00000003/manifest.json",
    "os.rename checkpoints/step-00000003",
    "os.rename checkpoints/.partial-step-00000001",
    "shutil.rmtree checkpoints/.partial-step-00000001",
    "open observed/.partial-env.json",
    "os.rename observed/training_metadata.json",
    "os.mkdir .partial-golden",
    "open .partial-golden/.partial-adapter_model.safetensors",
    "os.rename .partial-golden/recipe.json",
    "os.rename golden",
    "open .partial-artifact_summary.json",
    "os.rename artifact_summary.json",
)


def _resumed(server: Server, out: Path) -> dict[str, Any]:
    answer = server.train(out, resume=True)
    assert "golden_digest" in answer, answer
    return answer


@pytest.mark.parametrize("operation", BEFORE)
def test_a_kill_before_an_operation_on_a_file_loses_nothing(
    server: Server, whole: dict[str, Any], tmp_path: Path, operation: str
) -> None:
    killed = server.train(tmp_path / "run", die_before=operation)
    assert killed == {"killed": signal.SIGKILL}
    assert not (tmp_path / "run" / "artifact_summary.json").exists()
    assert _resumed(server, tmp_path / "run")["golden_digest"] == whole["golden_digest"]


def test_the_operations_above_are_of_every_kind(whole: dict[str, Any]) -> None:
    """Every operation of an uninterrupted run is one of them, but for its step or the file it is about."""

    def kind(operation: str) -> tuple[str, str]:
        event, _, path = operation.partition(" ")
        return event, path.partition("/")[0]

    once = {("os.mkdir", ""), ("os.mkdir", "observed"), ("os.remove", "checkpoints"), ("os.rmdir", "checkpoints")}
    # The folder in which the proof of writing was made goes with it; the first real write makes it again.
    once.add(("os.rmdir", ""))
    assert {kind(operation) for operation in whole["operations"]} - once == {kind(operation) for operation in BEFORE}


def test_a_kill_during_a_step_is_resumed_from_the_checkpoint_before(
    server: Server, whole: dict[str, Any], tmp_path: Path
) -> None:
    assert server.train(tmp_path / "run", die_after_step=4) == {"killed": signal.SIGKILL}
    answer = _resumed(server, tmp_path / "run")
    assert answer["notes"] == ["training goes on after step 3"]
    assert answer["golden_digest"] == whole["golden_digest"]
    metadata = json.loads((tmp_path / "run" / "observed" / "training_metadata.json").read_text())
    assert metadata["resumed_from"] == [3]


def test_a_kill_before_the_first_checkpoint_starts_again_and_says_so(
    server: Server, whole: dict[str, Any], tmp_path: Path
) -> None:
    assert server.train(tmp_path / "run", die_after_step=1) == {"killed": signal.SIGKILL}
    answer = _resumed(server, tmp_path / "run")
    assert answer["notes"] == ["the run has no checkpoint yet: training starts from the beginning"]
    assert answer["golden_digest"] == whole["golden_digest"]


def test_a_run_killed_twice_has_the_same_bits(server: Server, whole: dict[str, Any], tmp_path: Path) -> None:
    assert "killed" in server.train(tmp_path / "run", die_after_step=2)
    assert "killed" in server.train(tmp_path / "run", resume=True, die_after_step=4)
    assert _resumed(server, tmp_path / "run")["golden_digest"] == whole["golden_digest"]


@pytest.mark.parametrize("n_bytes", [1, 4096, 60_000])
def test_a_kill_in_the_middle_of_a_write_loses_nothing(
    server: Server, whole: dict[str, Any], tmp_path: Path, n_bytes: int
) -> None:
    killed = server.train(tmp_path / "run", full_after_step=3, n_bytes=n_bytes, kill=True)
    assert killed == {"killed": signal.SIGXFSZ}
    half = tmp_path / "run" / "checkpoints" / ".partial-step-00000003" / ".partial-tensors.safetensors"
    assert half.stat().st_size <= n_bytes
    assert _resumed(server, tmp_path / "run")["golden_digest"] == whole["golden_digest"]


@pytest.mark.parametrize("n_bytes", [0, 60_000])
def test_a_disk_that_takes_no_more_is_one_sentence_and_loses_nothing(
    server: Server, whole: dict[str, Any], tmp_path: Path, n_bytes: int
) -> None:
    refused = server.train(tmp_path / "run", full_after_step=3, n_bytes=n_bytes, kill=False)
    assert refused["kind"] == "StorageError"
    assert "tensors.safetensors" in refused["error"]
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == [
        "step-00000001",
        "step-00000002",
    ]
    assert _resumed(server, tmp_path / "run")["golden_digest"] == whole["golden_digest"]


def test_kills_at_random_times_lose_nothing(server: Server, whole: dict[str, Any], tmp_path: Path) -> None:
    """A portable run goes on each time with other threads, on another instruction set, and in other passes."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    generator = random.Random(seed)
    for _ in range(8):
        die_after_s = generator.uniform(0.2 * whole["total_s"], whole["total_s"])
        answer = server.train(tmp_path / "run", resume=True, die_after_s=die_after_s, **_another(server, generator))
        if "killed" not in answer:
            break
    assert _resumed(server, tmp_path / "run")["golden_digest"] == whole["golden_digest"]


def _another(server: Server, generator: random.Random) -> dict[str, Any]:
    """Return an execution drawn at random; stock has but one."""
    if server.numerics == "stock":
        return {}
    n_samples = generator.choice([1, 2, 4, 8])
    settings = {
        "threads": generator.randint(1, 3),
        "memory_budget_mib": generator.choice([1, 2048]),
        "per_device_train_batch_size": n_samples,
        "gradient_accumulation_steps": 8 // n_samples,
    }
    return {"settings": settings, "variables": {"SAMEBITS_ISA": generator.choice(library.runnable_isas())}}


if __name__ == "__main__":
    _serve(*sys.argv[1:])
