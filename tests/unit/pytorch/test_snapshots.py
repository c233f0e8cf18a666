from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from samebits.canonical.safetensors_file import tensors_sha256
from samebits.data.order import plan_steps
from samebits.errors import CheckpointError
from samebits.models.inputs import find_inputs
from samebits.pytorch.adapter import arrays
from samebits.pytorch.snapshots import RNG_STATE, TrainingState, restore, snapshot
from samebits.pytorch.stock import begin, take_step
from samebits.recipe.reader import settings_from
from samebits.record.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from samebits.record.layout import RunFolder

pytestmark = pytest.mark.usefixtures("quiet")

SETTINGS = settings_from(
    {"numerics": "stock", "max_steps": 8, "lr_scheduler_type": "cosine", "warmup_steps": 2}, where="test"
)
DECIDING = {"isa": "AVX2", "n_threads": 2, "libraries": {"torch": "1"}, "probes": {"exp": "00"}}
SHA256 = "0" * 64


def _trained(gpt2: Path, n_steps: int, state: TrainingState | None = None) -> TrainingState:
    samples = find_inputs(SETTINGS).data.train.samples
    plans = plan_steps(len(samples), SETTINGS)
    state = state or begin(gpt2, SETTINGS, n_steps=len(plans))
    for plan in plans[state.step : n_steps]:
        take_step(state, plan, samples, SETTINGS)
    return state


@pytest.fixture
def checkpoint(gpt2: Path, tmp_path: Path) -> Checkpoint:
    state = _trained(gpt2, 3)
    path = write_checkpoint(RunFolder(tmp_path), 3, *snapshot(state, DECIDING), recipe_sha256=SHA256)
    return read_checkpoint(path, SHA256)


def test_training_goes_on_as_if_nothing_had_happened(gpt2: Path, checkpoint: Checkpoint) -> None:
    whole = _trained(gpt2, 8)
    generator = torch.get_rng_state()
    resumed = begin(gpt2, SETTINGS, n_steps=8)
    torch.rand(7)
    restore(resumed, checkpoint, DECIDING, "here")
    assert (resumed.step, resumed.resumed_from) == (3, [3])
    _trained(gpt2, 8, resumed)
    assert resumed.trace == whole.trace
    assert resumed.loss_sum.hex() == whole.loss_sum.hex()
    assert tensors_sha256(resumed.optimizer_arrays()) == tensors_sha256(whole.optimizer_arrays())
    assert tensors_sha256(arrays(resumed.parameters)) == tensors_sha256(arrays(whole.parameters))
    assert torch.equal(torch.get_rng_state(), generator)


@pytest.mark.parametrize("name", [RNG_STATE, "exp_avg", "exp_avg_sq", "step", "parameter"])
def test_every_part_of_the_state_is_needed(gpt2: Path, checkpoint: Checkpoint, name: str) -> None:
    """A resume from a state with one part spoilt goes elsewhere: no part is stored for nothing."""
    whole = _trained(gpt2, 5)
    spoilt = next(key for key in checkpoint.tensors if key == name or key.startswith(f"{name}."))
    if name == RNG_STATE:
        checkpoint.tensors[spoilt] = torch.Generator().manual_seed(1).get_state().numpy()
    else:
        checkpoint.tensors[spoilt].reshape(-1)[0] += 1
    resumed = begin(gpt2, SETTINGS, n_steps=8)
    if name == "parameter":
        with pytest.raises(CheckpointError, match="parameters must be those of its trace"):
            restore(resumed, checkpoint, DECIDING, "here")
        return
    restore(resumed, checkpoint, DECIDING, "here")
    assert _trained(gpt2, 5, resumed).trace[-1]["sha256"] != whole.trace[-1]["sha256"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"n_threads": 1}, "got n_threads 1 where it was 2"),
        ({"isa": "AVX512"}, "got isa AVX512 where it was AVX2"),
        ({"libraries": {"torch": "2"}}, "got libraries.torch 2 where it was 1"),
        ({"probes": {"exp": "11"}}, "got probes.exp 11 where it was 00"),
    ],
)
def test_other_kernels_are_refused(gpt2: Path, checkpoint: Checkpoint, change: dict[str, Any], told: str) -> None:
    with pytest.raises(CheckpointError, match=told):
        restore(begin(gpt2, SETTINGS, n_steps=8), checkpoint, {**DECIDING, **change}, "here")


def test_tensors_of_another_adapter_are_refused(gpt2: Path, checkpoint: Checkpoint) -> None:
    checkpoint.tensors["parameter.other"] = checkpoint.tensors[RNG_STATE]
    with pytest.raises(CheckpointError, match=r"must hold the tensors of this adapter, got parameter\.other astray"):
        restore(begin(gpt2, SETTINGS, n_steps=8), checkpoint, DECIDING, "here")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epoch": "1"}, "`epoch` and `deciding`"),
        ({"deciding": None}, "`epoch` and `deciding`"),
        ({"loss_sum": 1}, "`loss_sum`"),
        ({"loss_sum": "0x1p+99999"}, "`loss_sum`"),
        ({"loss_sum": "nan"}, "`loss_sum`"),
        ({"resumed_from": [True]}, "`resumed_from`"),
        ({"resumed_from": None}, "`resumed_from`"),
    ],
)
def test_a_strangers_state_is_refused(gpt2: Path, checkpoint: Checkpoint, change: dict[str, Any], words: str) -> None:
    strange = replace(checkpoint, state={**checkpoint.state, **change})
    with pytest.raises(CheckpointError, match=words):
        restore(begin(gpt2, SETTINGS, n_steps=8), strange, DECIDING, "here")


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        (RNG_STATE, np.zeros(5056, np.uint8), "must be a generator's"),
        (RNG_STATE, np.zeros(7, np.uint8), "must be a generator's"),
        (RNG_STATE, np.zeros(7, np.float32), "tensors of this adapter"),
        (None, np.zeros(7, np.float32), "tensors of this adapter"),
        (None, np.zeros((3, 3), np.uint8), "tensors of this adapter"),
    ],
)
def test_a_strangers_tensors_are_refused(
    gpt2: Path, checkpoint: Checkpoint, name: str | None, tensor: Any, words: str
) -> None:
    strange = replace(checkpoint, tensors={**checkpoint.tensors, name or min(checkpoint.tensors): tensor})
    with pytest.raises(CheckpointError, match=words):
        restore(begin(gpt2, SETTINGS, n_steps=8), strange, DECIDING, "here")


def test_a_training_goes_forward_to_a_later_checkpoint(gpt2: Path, checkpoint: Checkpoint) -> None:
    whole = _trained(gpt2, 8)
    used = _trained(gpt2, 1)
    restore(used, checkpoint, DECIDING, "here")
    _trained(gpt2, 8, used)
    assert used.trace == whole.trace
