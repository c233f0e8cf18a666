"""A small finished run, made by our own writers with values of our choosing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.canonical.digests import sha256_bytes
from samebits.record.documents import generation_record, results_document, write_golden
from samebits.record.layout import RunFolder
from samebits.record.trace import FIRST_PREVIOUS_SHA256, step_record, trace_bytes

DIGEST = sha256_bytes(b"x")


def make_records(n_steps: int = 3) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    for step in range(1, n_steps + 1):
        records.append(
            step_record(
                step=step,
                sample_ids=[2 * step, 1],
                token_sha256=DIGEST,
                loss=3.0 / step,
                grad_norm=1.0 / step,
                learning_rate=0.001 / step,
                gradients_sha256=DIGEST,
                parameters_sha256=DIGEST,
                optimizer_sha256=DIGEST,
                n_target_tokens=100,
                previous_sha256=records[-1]["sha256"] if records else FIRST_PREVIOUS_SHA256,
            )
        )
    return records


@pytest.fixture
def records() -> list[dict[str, Any]]:
    return make_records()


@pytest.fixture
def records_of() -> Callable[[int], list[dict[str, Any]]]:
    """The records of so many steps."""
    return make_records


@pytest.fixture
def golden() -> dict[str, Any]:
    """The arguments of `write_golden`."""
    return {
        "recipe": {"record_version": 1, "numerics": "stock", "settings": {"seed": 42}},
        "training_args": {"seed": 42},
        "results": results_document(1.5, None, n_steps=3, n_target_tokens=300, trace_root_sha256="0" * 64),
        "trace": trace_bytes(make_records()),
        "generations": [generation_record(prompt="a", token_ids=[1], text="b", logits_sha256=DIGEST)],
        "adapter_config": {
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "bias": "none",
            "fan_in_fan_out": False, "init_lora_weights": True, "modules_to_save": None, "target_modules": ["q"],
            "use_dora": False, "use_rslora": False,
        },
        "adapter": {"a": np.arange(6, dtype=np.float32), "b": np.ones((2, 2), np.float32)},
    }  # fmt: skip


@pytest.fixture
def make_run(tmp_path: Path, golden: dict[str, Any]) -> Callable[..., RunFolder]:
    def write(name: str = "run", **changes: Any) -> RunFolder:
        run = RunFolder(tmp_path / name)
        write_golden(run, **{**golden, **changes})
        return run

    return write


@pytest.fixture
def run(make_run: Callable[..., RunFolder]) -> RunFolder:
    return make_run()
