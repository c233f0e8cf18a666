"""Run folders and tensor files made by our own writers, with values of our choosing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.canonical.digests import sha256_bytes
from samebits.record.documents import results_document, write_golden, write_observed
from samebits.record.layout import RunFolder
from samebits.record.trace import FIRST_PREVIOUS_SHA256, step_record, trace_bytes

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
