"""Run folders and tensor files made by our own writers, with values of our choosing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.canonical.digests import sha256_bytes
from samebits.canonical.safetensors_file import tensors_sha256
from samebits.errors import ModelError
from samebits.record.documents import results_document, write_golden, write_observed
from samebits.record.layout import RunFolder
from samebits.record.operations import Header, OperationTrace, output_of
from samebits.record.trace import FIRST_PREVIOUS_SHA256, read_trace, step_record, trace_bytes, trace_root
from samebits.verify.sides import Side

ADAPTER_CONFIG = {
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "bias": "none",
    "fan_in_fan_out": False, "init_lora_weights": True, "modules_to_save": None, "target_modules": ["c_attn"],
    "use_dora": False, "use_rslora": False,
}  # fmt: skip


def make_trace(n_steps: int = 5, **changes: Callable[[int, Any], Any]) -> bytes:
    """Return a chained trace; `loss=lambda step, value: ...` changes a field before it is recorded."""
    records: list[dict[str, Any]] = []
    previous_sha256 = FIRST_PREVIOUS_SHA256
    for step in range(1, n_steps + 1):
        fields: dict[str, Any] = {
            "sample_ids": [2 * step, 2 * step + 1],
            "loss": 3.0 / step,
            "grad_norm": 1.0 / step,
            "learning_rate": 0.001 / step,
            "n_target_tokens": 100,
        }
        for name in ("token_sha256", "gradients_sha256", "parameters_sha256", "optimizer_sha256"):
            fields[name] = sha256_bytes(f"{name} {step}".encode())
        for name, change in changes.items():
            fields[name] = change(step, fields[name])
        records.append(step_record(step=step, previous_sha256=previous_sha256, **fields))
        previous_sha256 = records[-1]["sha256"]
    return trace_bytes(records)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a finished run folder and returns its path."""

    def write(
        name: str, *, seed: int = 42, trace: bytes | None = None, n_threads: int = 2, weight: float = 0.5
    ) -> Path:
        run = RunFolder(tmp_path / name)
        run.path.mkdir()
        execution = {"environment": "native", "isa": "avx2", "n_threads": n_threads}
        write_observed(run, env={"cpu": {"name": "test"}}, execution=execution, training_metadata={"host": name})
        write_golden(
            run,
            recipe={"record_version": 1, "numerics": "stock", "settings": {"seed": seed, "lora_r": 16}},
            training_args={"seed": seed},
            results=results_document(1.5, None, n_steps=5, n_target_tokens=500, trace_root_sha256="0" * 64),
            trace=trace or make_trace(),
            generations=[{"prompt": "a", "text": "b"}, {"prompt": "c", "text": "d"}],
            adapter_config=ADAPTER_CONFIG,
            adapter={
                "a": np.full((4, 4), weight, np.float32),
                "b": np.arange(6, dtype=np.float32),
                "c": np.arange(6, dtype=np.float32) + 100,
            },
        )
        return run.path

    return write


@pytest.fixture
def make_chained_trace() -> Callable[..., bytes]:
    return make_trace


@pytest.fixture
def pair(tmp_path: Path) -> Callable[[bytes, bytes, str], tuple[Path, Path]]:
    """Return a function that writes a golden and a candidate file of one name in two folders."""

    def write(golden: bytes, candidate: bytes, name: str = "file.bin") -> tuple[Path, Path]:
        paths = tmp_path / "golden" / name, tmp_path / "candidate" / name
        for path, data in zip(paths, (golden, candidate), strict=True):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        return paths

    return write


@pytest.fixture
def make_whole_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a run whose files fit each other, as a training's do."""

    def write(
        name: str, *, recipe: dict[str, Any] | None = None, execution: dict[str, Any] | None = None,
        env: dict[str, Any] | None = None, weight: float = 0.5, n_steps: int = 5, **changes: Callable[[int, Any], Any],
    ) -> Path:  # fmt: skip
        adapter = {"a": np.full((4, 4), weight, np.float32)}
        changes = {
            "parameters_sha256": lambda step, value: tensors_sha256(adapter) if step == n_steps else value
        } | changes
        trace = make_trace(n_steps, **changes)
        run = RunFolder(tmp_path / name)
        run.path.mkdir()
        document = recipe or {"record_version": 1, "numerics": "portable-f32", "settings": {"seed": 42}}
        write_observed(
            run,
            env=env or {"cpu": {"name": "test"}, "numerics": {"sources_sha256": "1" * 64}},
            execution=execution or {"isa": "avx2", "n_threads": 2},
            training_metadata={"host": name},
        )
        root = trace_root(read_trace(trace, "trace"))
        write_golden(
            run,
            recipe=document,
            training_args={"seed": 42},
            results=results_document(1.5, None, n_steps=n_steps, n_target_tokens=500, trace_root_sha256=root),
            trace=trace,
            generations=[{"prompt": "a", "text": "b"}],
            adapter_config=ADAPTER_CONFIG,
            adapter=adapter,
        )
        return run.path

    return write


class RecordedSession:
    """Stands in for a training: gives the lines that it was made of, one after the other."""

    def __init__(self, records: list[dict[str, Any]]) -> None:
        self.recipe: dict[str, Any] = {}
        self._records, self.step, self.n_steps = records, 0, len(records)
        self.restored_at: int | None = None

    def restore(self, checkpoint: Any, where: str) -> None:
        """Go on after the checkpoint."""
        self.step = self.restored_at = checkpoint.step

    def take_step(self) -> dict[str, Any]:
        """Return the next line."""
        self.step += 1
        return self._records[self.step - 1]

    def trace_step(self, level: Any, keep: Any = ()) -> OperationTrace:
        """Return one output, whose bits are those of the line's digest."""
        line = self.take_step()
        value = np.frombuffer(bytes.fromhex(line["sha256"])[:4], "<u4").astype("<f4")
        header = Header(level, self.step, "portable-f32", 1, "avx2", 1, {}, "0" * 64, line["sha256"])
        module = {"phase": "forward", "module": "h.0", "operation": "linear", "sample": 3, "output": 0}
        return OperationTrace(header, (output_of(value, 1, **module),), {1: value} if 1 in keep else {})  # type: ignore[arg-type]

    def golden_documents(self) -> dict[str, Any]:
        """Not asked for here."""
        raise NotImplementedError


class RecordedRerunner:
    """Stands in for a machine: what it gives for each side, one list of lines for each session, the last for ever."""

    def __init__(self, **lines: list[list[dict[str, Any]]]) -> None:
        self._lines, self.sessions = lines, list[RecordedSession]()

    @contextmanager
    def begin(self, side: Side) -> Iterator[RecordedSession]:
        """Return the next session of a side."""
        if side.name not in self._lines:
            raise ModelError("the base must be here", got="none")
        waiting = self._lines[side.name]
        self.sessions.append(RecordedSession(waiting.pop(0) if len(waiting) > 1 else waiting[0]))
        yield self.sessions[-1]

    def facts(self, side: Side) -> dict[str, Any]:
        """Return the facts of a machine."""
        return {"execution": {"isa": "avx2", "n_threads": 2}, "env": {"numerics": {"sources_sha256": "1" * 64}}}


@pytest.fixture
def rerunner() -> type[RecordedRerunner]:
    return RecordedRerunner
