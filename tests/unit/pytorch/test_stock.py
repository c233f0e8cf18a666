from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from samebits.canonical.safetensors_file import TensorFile, tensors_sha256
from samebits.pytorch.stock import TrainingOutcome, train
from samebits.recipe.reader import settings_from
from samebits.record.layout import GOLDEN_FILES
from samebits.record.manifest import check_summary
from samebits.record.progress import Silence
from samebits.record.trace import read_trace


def _run(out: Path, **values: Any) -> TrainingOutcome:
    settings = settings_from(
        {"numerics": "stock", "max_steps": 4, "save_steps": 2, "threads": 1, **values}, where="test"
    )
    return train(settings, out, resume=False, progress=Silence())


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> TrainingOutcome:
    return _run(tmp_path_factory.mktemp("stock") / "run")


def test_the_folder_is_a_whole_run(outcome: TrainingOutcome) -> None:
    assert sorted(path.name for path in outcome.run.golden.iterdir()) == sorted(GOLDEN_FILES)
    assert outcome.run.is_complete()
    assert check_summary(outcome.run) == []
    assert [path.name for path in outcome.run.checkpoints.iterdir()] == ["step-00000002"]
    metadata = json.loads((outcome.run.observed / "training_metadata.json").read_text())
    assert metadata["timings_s"].keys() == {"load_s", "train_s", "evaluate_s", "total_s"}
    assert metadata["base"] == "embedded"


def test_the_trace_ends_in_the_adapter(outcome: TrainingOutcome) -> None:
    file = TensorFile(outcome.run.golden / "adapter_model.safetensors")
    trace = read_trace((outcome.run.golden / "trace.jsonl").read_bytes(), "trace")
    assert trace[-1]["parameters_sha256"] == tensors_sha256({name: file.array(name) for name in file.tensors})


def test_the_train_loss_is_that_of_the_traces_tokens(outcome: TrainingOutcome) -> None:
    trace = read_trace((outcome.run.golden / "trace.jsonl").read_bytes(), "trace")
    n_targets = sum(record["n_target_tokens"] for record in trace)
    mean = math.fsum(float.fromhex(record["loss"]) * record["n_target_tokens"] for record in trace) / n_targets
    # The trace's means were rounded once each: the sum of them is within an ULP a step of the sum that was kept.
    assert abs(mean - outcome.results["train_loss"]) <= len(trace) * math.ulp(mean)
    assert outcome.results["n_target_tokens"] == n_targets


def test_no_path_stands_in_the_golden_folder(outcome: TrainingOutcome) -> None:
    text = b"".join(path.read_bytes() for path in outcome.run.golden.iterdir() if path.suffix != ".safetensors")
    assert str(outcome.run.path).encode() not in text
    assert b"/" not in text.replace(b"\\/", b"").replace(b"lora_", b"")


def test_the_arguments_are_resolved(outcome: TrainingOutcome) -> None:
    arguments = json.loads((outcome.run.golden / "training_args.json").read_text())
    assert arguments["lora_target_modules"] == ["c_attn"]
    assert (arguments["n_steps"], arguments["data_seed"], arguments["fan_in_fan_out"]) == (4, 42, True)
    assert arguments["optimizer"] == "adamw_torch_fused"


@pytest.mark.parametrize(
    ("values", "differs"),
    [
        ({}, False),
        ({"save_steps": 1, "save_total_limit": 1, "logging_steps": 3, "environment": "elsewhere"}, False),
        ({"seed": 43}, True),
        ({"data_seed": 43}, True),
        ({"learning_rate": 1e-4}, True),
        ({"lora_dropout": 0.0}, True),
        ({"attn_implementation": "eager"}, True),
        ({"per_device_eval_batch_size": 1}, True),
    ],
)
def test_recipe_settings_move_the_digest_and_execution_settings_do_not(
    outcome: TrainingOutcome, tmp_path: Path, values: dict[str, Any], differs: bool
) -> None:
    assert (_run(tmp_path / "run", **values).golden_digest != outcome.golden_digest) == differs


def test_nothing_held_out_gives_no_evaluation(tmp_path: Path) -> None:
    results = _run(tmp_path / "run", val_size=0, max_steps=1).results
    assert results["eval_loss"] is None
    assert results["train_loss"] > 0


def test_no_clipping_still_tells_the_norm(outcome: TrainingOutcome, tmp_path: Path) -> None:
    free = _run(tmp_path / "run", max_grad_norm=0)
    trace = read_trace((free.run.golden / "trace.jsonl").read_bytes(), "trace")
    clipped = read_trace((outcome.run.golden / "trace.jsonl").read_bytes(), "trace")
    assert trace[0]["grad_norm"] == clipped[0]["grad_norm"]
    assert trace[0]["gradients_sha256"] == clipped[0]["gradients_sha256"]
