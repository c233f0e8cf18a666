"""Run folders made by record's own writers, with numbers of our choosing: test data, no training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.record.documents import results_document, write_golden, write_observed
from samebits.record.layout import RunFolder
from samebits.record.trace import FIRST_PREVIOUS_SHA256, step_record, trace_bytes

MakeRun = Callable[..., Path]
ADAPTER_CONFIG: dict[str, Any] = {
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "bias": "none",
    "fan_in_fan_out": True, "init_lora_weights": True, "modules_to_save": None, "target_modules": ["c_attn"],
    "use_dora": False, "use_rslora": False,
}  # fmt: skip


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Return a function that writes one finished run under `tmp_path/runs`."""

    def write(
        name: str,
        *,
        losses: Sequence[float] = (4.0, 3.5, 3.25),
        weight: float = 0.5,
        train_loss: float = 3.5,
        eval_loss: float | None = 3.75,
        environment: str = "native",
        seed: int = 42,
        numerics: str = "stock",
        isa: str = "AVX2",
        n_threads: int = 2,
        probe: str = "0" * 64,
        learning_rate: float = 0.5,
        env: Mapping[str, Any] | None = None,
    ) -> Path:
        run = RunFolder(tmp_path / "runs" / name)
        run.path.mkdir(parents=True)
        write_observed(
            run,
            env=env if env is not None else {"cpu": {"name": "test"}},
            execution={"environment": environment, "isa": isa, "n_threads": n_threads, "probes": {"sum": probe}},
            training_metadata={},
        )
        write_golden(
            run,
            recipe={"record_version": 1, "numerics": numerics, "settings": {"seed": seed}},
            training_args={"seed": seed},
            results=results_document(
                train_loss, eval_loss, n_steps=len(losses), n_target_tokens=10, trace_root_sha256="0" * 64
            ),
            trace=trace_of(losses, weight, learning_rate),
            generations=[],
            adapter_config=ADAPTER_CONFIG,
            adapter={"a": np.full((4, 4), weight, dtype=np.float32), "b": np.zeros(3, dtype=np.float32)},
        )
        return run.path

    return write


def trace_of(losses: Sequence[float], weight: float, learning_rate: float) -> bytes:
    """Return a chained trace whose parameters follow `weight` from the second step on."""
    records: list[dict[str, Any]] = []
    previous_sha256 = FIRST_PREVIOUS_SHA256
    for step, loss in enumerate(losses, start=1):
        parameters = f"{weight if step > 1 else 0.0}".encode().hex().ljust(64, "0")[:64]
        records.append(
            step_record(
                step=step,
                sample_ids=[step],
                token_sha256="1" * 64,
                loss=loss,
                grad_norm=1.0,
                learning_rate=learning_rate,
                gradients_sha256="2" * 64,
                parameters_sha256=parameters,
                optimizer_sha256="3" * 64,
                n_target_tokens=5,
                previous_sha256=previous_sha256,
            )
        )
        previous_sha256 = records[-1]["sha256"]
    return trace_bytes(records)
