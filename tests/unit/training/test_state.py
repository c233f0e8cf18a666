from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.data.dataset import TokenSample
from samebits.data.order import plan_steps
from samebits.errors import CheckpointError
from samebits.models.families import AdaptedModel
from samebits.recipe.settings import Settings
from samebits.record.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from samebits.record.layout import RunFolder
from samebits.record.trace import FIRST_PREVIOUS_SHA256
from samebits.training.portable import take_step
from samebits.training.state import TRACE, TrainingState, begin, restore, snapshot

RECIPE_SHA256 = "0" * 64


@pytest.fixture
def state(adapted: AdaptedModel, samples: Sequence[TokenSample], portable: Callable[..., Settings]) -> TrainingState:
    """After two steps."""
    state, settings = begin(adapted), portable()
    for plan in plan_steps(len(samples), settings)[:2]:
        take_step(state, plan, samples, settings, n_steps=6)
    return state


def _new(state: TrainingState) -> TrainingState:
    """Another training of the same adapter, not yet begun, with other content."""
    tensors = state.adapted.tensors
    flat = np.full(tensors.size, 7, dtype=np.float32)
    model = AdaptedModel(state.adapted.model, tensors, flat, state.adapted.peft_config, ())
    return begin(model)


def _bytes(state: TrainingState) -> tuple[object, ...]:
    flats = (state.adapted.flat, state.exp_avg, state.exp_avg_sq)
    return (*(flat.tobytes() for flat in flats), state.step, state.loss_units, state.trace)


def test_a_beginning_is_empty(adapted: AdaptedModel) -> None:
    state = begin(adapted)
    assert not state.exp_avg.any()
    assert not state.exp_avg_sq.any()
    assert (state.step, state.loss_units, state.trace, state.resumed_from) == (0, 0, [], [])
    assert state.previous_sha256 == FIRST_PREVIOUS_SHA256


def test_the_moments_are_named_by_their_parameter(state: TrainingState) -> None:
    tensors = state.optimizer_tensors()
    names = state.adapted.parameters
    assert tensors.keys() == {f"{kind}.{name}" for kind in ("exp_avg", "exp_avg_sq") for name in names}
    assert all(np.shares_memory(tensors[f"exp_avg.{name}"], state.exp_avg) for name in names)
    assert all(np.shares_memory(tensors[f"exp_avg_sq.{name}"], state.exp_avg_sq) for name in names)


def test_a_state_comes_back_through_a_checkpoint_on_disk(state: TrainingState, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    path = write_checkpoint(run, state.step, *snapshot(state), recipe_sha256=RECIPE_SHA256)
    other = _new(state)
    restore(other, read_checkpoint(path, RECIPE_SHA256), str(path))
    assert _bytes(other) == _bytes(state)
    assert other.resumed_from == [2]
    assert other.previous_sha256 == state.previous_sha256 == state.trace[-1]["sha256"]
    again = _new(state)
    restore(again, Checkpoint(2, *_snapshot(other)), str(path))
    assert again.resumed_from == [2, 2]


def _snapshot(state: TrainingState) -> tuple[dict[str, Any], dict[str, Any]]:
    tensors, told = snapshot(state)
    return {name: array.copy() for name, array in tensors.items()}, dict(told)


def test_numbers_of_another_byte_order_are_the_same_numbers(state: TrainingState) -> None:
    """A big-endian machine finds those of the file to be of another order than its own."""
    tensors, told = _snapshot(state)
    swapped = {name: array.astype(array.dtype.newbyteorder("S")) for name, array in tensors.items()}
    other = _new(state)
    restore(other, Checkpoint(2, swapped, told), "here")
    assert _bytes(other) == _bytes(state)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda tensors, told: tensors.pop(min(tensors)), "must hold the tensors of this adapter, got .* astray"),
        (lambda tensors, told: tensors.update(more=np.zeros(1, np.float32)), "got more astray"),
        (lambda tensors, told: tensors.pop(TRACE), "got trace_bytes astray"),
        (lambda tensors, told: tensors.update({TRACE: np.zeros(3, np.float32)}), "got trace_bytes astray"),
        (lambda tensors, told: _first(tensors, "parameter.").__iadd__(1), "parameters must be those of its trace"),
        (lambda tensors, told: _first(tensors, "exp_avg.").__iadd__(1), "optimizer must be those of its trace"),
        (lambda tensors, told: told.pop("loss_units"), "`loss_units` of a checkpoint must be hexadecimal, got None"),
        (lambda tensors, told: told.update(loss_units="-1"), "must be hexadecimal, got '-1'"),
        (lambda tensors, told: told.update(resumed_from=[True]), r"`resumed_from` .* must be steps, got \[True\]"),
    ],
)
def test_what_is_no_state_of_this_training_is_refused(state: TrainingState, change: Any, told: str) -> None:
    tensors, document = _snapshot(state)
    change(tensors, document)
    with pytest.raises(CheckpointError, match=rf"{told}.* \(here\)") as caught:
        restore(_new(state), Checkpoint(2, tensors, document), "here")
    assert caught.value.exit_code == 2


def _first(tensors: dict[str, Any], prefix: str) -> Any:
    return next(tensor for name, tensor in tensors.items() if name.startswith(prefix))


def test_a_trace_that_ends_at_another_step_is_refused(state: TrainingState) -> None:
    with pytest.raises(CheckpointError, match=r"a checkpoint's trace must end at step 5, got step 2 \(here\)"):
        restore(_new(state), Checkpoint(5, *_snapshot(state)), "here")
