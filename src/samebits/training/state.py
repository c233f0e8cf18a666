"""The state of a training between two steps: what a checkpoint holds, and how it comes back."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from samebits.canonical.safetensors_file import tensors_sha256
from samebits.errors import CheckpointError
from samebits.models.families import AdaptedModel
from samebits.numerics.arrays import F32, empty_by_lines
from samebits.record.checkpoint import Checkpoint
from samebits.record.trace import FIRST_PREVIOUS_SHA256, read_trace, trace_bytes

MOMENTS = ("exp_avg", "exp_avg_sq")
# A trace grows with the run: as bytes among the tensors it meets no limit of a JSON file.
TRACE = "trace_bytes"


@dataclass
class TrainingState:
    """Everything that one step hands to the next.

    `exp_avg` and `exp_avg_sq` lie as the adapter's tensors do; `loss_units` is the exact sum of all samples' losses so
    far, in units of the least float32; `resumed_from` are the steps after which a killed run went on; `n_passes` is
    into how many passes the steps were cut, of this process alone, for it belongs to no result.
    """

    adapted: AdaptedModel
    exp_avg: F32
    exp_avg_sq: F32
    step: int = 0
    loss_units: int = 0
    trace: list[dict[str, Any]] = field(default_factory=list)
    resumed_from: list[int] = field(default_factory=list)
    n_passes: int = 0

    @property
    def previous_sha256(self) -> str:
        """Digest of the last trace record."""
        return str(self.trace[-1]["sha256"]) if self.trace else FIRST_PREVIOUS_SHA256

    def optimizer_tensors(self) -> dict[str, F32]:
        """Return AdamW's moments as `<moment>.<parameter>`, over their memory."""
        views = self.adapted.tensors.views
        moments = zip(MOMENTS, (self.exp_avg, self.exp_avg_sq), strict=True)
        return {f"{moment}.{name}": view for moment, flat in moments for name, view in views(flat).items()}


def begin(adapted: AdaptedModel) -> TrainingState:
    """Return the state before the first step."""
    exp_avg, exp_avg_sq = (empty_by_lines(adapted.tensors.size) for _ in MOMENTS)
    exp_avg.fill(0)
    exp_avg_sq.fill(0)
    return TrainingState(adapted, exp_avg, exp_avg_sq)


def snapshot(state: TrainingState) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
    """Return the tensors and the JSON of a checkpoint: nothing in it knows this machine."""
    tensors: dict[str, np.ndarray[Any, Any]] = {
        **{f"parameter.{name}": array for name, array in state.adapted.parameters.items()},
        **state.optimizer_tensors(),
        TRACE: np.frombuffer(trace_bytes(state.trace), np.uint8),
    }
    return tensors, {"loss_units": f"{state.loss_units:x}", "resumed_from": state.resumed_from}


def restore(state: TrainingState, checkpoint: Checkpoint, where: str) -> None:
    """Bring a new training to the state of a verified checkpoint.

    Raises:
        CheckpointError: its tensors are not this adapter's or not those that its trace tells, or its state is not ours.
    """
    into = {f"parameter.{name}": view for name, view in state.adapted.parameters.items()} | state.optimizer_tensors()
    # A file is little-endian, whatever this machine is.
    found = {name: (str(array.dtype.newbyteorder("=")), array.shape) for name, array in checkpoint.tensors.items()}
    expected: dict[str, tuple[str, Any]] = {name: ("float32", view.shape) for name, view in into.items()}
    expected[TRACE] = ("uint8", found.get(TRACE, ("", (0,)))[1])
    if found != expected:
        odd = min(name for name in expected.keys() | found.keys() if found.get(name) != expected.get(name))
        raise CheckpointError("a checkpoint must hold the tensors of this adapter", got=f"{odd} astray", where=where)
    state.loss_units, state.resumed_from = _told(checkpoint, where)
    for name, view in into.items():
        view[...] = checkpoint.tensors[name]
    state.step = checkpoint.step
    state.trace = read_trace(checkpoint.tensors[TRACE].tobytes(), where)
    last = state.trace[-1]
    for kind, tensors in (("parameters", state.adapted.parameters), ("optimizer", state.optimizer_tensors())):
        if last[f"{kind}_sha256"] != tensors_sha256(tensors):
            raise CheckpointError(f"a checkpoint's {kind} must be those of its trace", got="others", where=where)
    if last["step"] != state.step:
        got = f"step {last['step']}"
        raise CheckpointError(f"a checkpoint's trace must end at step {state.step}", got=got, where=where)


def _told(checkpoint: Checkpoint, where: str) -> tuple[int, list[int]]:
    """Return the exact sum of losses, and where killed runs went on, this one included."""
    units, beginnings = checkpoint.state.get("loss_units"), checkpoint.state.get("resumed_from")
    if not isinstance(units, str) or not re.fullmatch("[0-9a-f]+", units):
        raise CheckpointError("`loss_units` of a checkpoint must be hexadecimal", got=repr(units)[:40], where=where)
    if not isinstance(beginnings, list) or not all(type(step) is int for step in beginnings):
        raise CheckpointError("`resumed_from` of a checkpoint must be steps", got=repr(beginnings)[:40], where=where)
    return int(units, 16), [*beginnings, checkpoint.step]
