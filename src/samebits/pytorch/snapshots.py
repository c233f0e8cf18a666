"""The state of a training between two steps: what a checkpoint holds, and how it comes back."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from torch.optim.lr_scheduler import LRScheduler

from samebits.canonical.safetensors_file import tensors_sha256
from samebits.errors import CheckpointError
from samebits.pytorch.adapter import arrays
from samebits.record.checkpoint import Checkpoint
from samebits.record.trace import FIRST_PREVIOUS_SHA256, read_trace, trace_bytes

MOMENTS = ("exp_avg", "exp_avg_sq", "step")
RNG_STATE = "torch_rng_state"
# A trace grows with the run: as bytes among the tensors it meets no limit of a JSON file.
TRACE = "trace_bytes"


@dataclass
class TrainingState:
    """Everything that one step hands to the next.

    `epoch` is that of the last step, -1 before the first; `loss_sum` is over all target tokens so far; `resumed_from`
    are the steps after which a killed run went on.
    """

    model: PeftModel
    parameters: dict[str, torch.nn.Parameter]
    optimizer: torch.optim.AdamW
    scheduler: LRScheduler
    step: int = 0
    epoch: int = -1
    loss_sum: float = 0.0
    trace: list[dict[str, Any]] = field(default_factory=list)
    resumed_from: list[int] = field(default_factory=list)

    @property
    def previous_sha256(self) -> str:
        """Digest of the last trace record."""
        return str(self.trace[-1]["sha256"]) if self.trace else FIRST_PREVIOUS_SHA256

    def optimizer_arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """Return AdamW's moments and step counts over their memory, as `<moment>.<parameter>`."""
        states = {name: self.optimizer.state[parameter] for name, parameter in self.parameters.items()}
        return arrays({f"{moment}.{name}": state[moment] for name, state in states.items() for moment in MOMENTS})


def snapshot(
    state: TrainingState, deciding: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
    """Return the tensors and the JSON of a checkpoint.

    Args:
        deciding: what decides the bits beside the recipe; a resume elsewhere is told by it.
    """
    tensors = {
        **{f"parameter.{name}": array for name, array in arrays(state.parameters).items()},
        **state.optimizer_arrays(),
        RNG_STATE: torch.get_rng_state().numpy(),
        TRACE: np.frombuffer(trace_bytes(state.trace), np.uint8),
    }
    document = {
        "epoch": state.epoch,
        "loss_sum": state.loss_sum.hex(),
        "resumed_from": state.resumed_from,
        "deciding": dict(deciding),
    }
    return tensors, document


def restore(state: TrainingState, checkpoint: Checkpoint, deciding: Mapping[str, Any], where: str) -> None:
    """Bring a training to the state of a verified checkpoint at or after its own step, torch's generator included.

    Raises:
        CheckpointError: the checkpoint was made by other kernels, its tensors are not this adapter's, or its state is
            not ours.
    """
    told = _told(checkpoint, where)
    _check_deciding(checkpoint.state["deciding"], deciding, where)
    _check_tensors(state, checkpoint, where)
    with torch.no_grad():
        for name, parameter in state.parameters.items():
            parameter.copy_(torch.from_numpy(checkpoint.tensors[f"parameter.{name}"]))
            moments = {moment: torch.from_numpy(checkpoint.tensors[f"{moment}.{name}"]).clone() for moment in MOMENTS}
            state.optimizer.state[parameter] = moments
    with warnings.catch_warnings():
        # The steps that went before these were taken by the optimizer of the killed process.
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        for _ in range(checkpoint.step - state.step):
            state.scheduler.step()
    try:
        torch.set_rng_state(torch.from_numpy(checkpoint.tensors[RNG_STATE]))
    except (RuntimeError, TypeError) as error:
        got = str(error).partition("\n")[0]
        raise CheckpointError(f"`{RNG_STATE}` of a checkpoint must be a generator's", got=got, where=where) from error
    state.step = checkpoint.step
    state.epoch, state.loss_sum, state.resumed_from = told
    state.trace = read_trace(checkpoint.tensors[TRACE].tobytes(), where)
    if state.trace[-1]["parameters_sha256"] != tensors_sha256(arrays(state.parameters)):
        raise CheckpointError("a checkpoint's parameters must be those of its trace", got="others", where=where)


def _check_tensors(state: TrainingState, checkpoint: Checkpoint, where: str) -> None:
    expected: dict[str, tuple[str, Any]] = {}
    for name, parameter in state.parameters.items():
        expected |= {f"{kind}.{name}": ("float32", tuple(parameter.shape)) for kind in ("parameter", *MOMENTS[:2])}
        expected[f"step.{name}"] = ("float32", ())
    found = {name: (str(array.dtype.newbyteorder("=")), array.shape) for name, array in checkpoint.tensors.items()}
    expected |= {name: ("uint8", found.get(name, ("", (0,)))[1]) for name in (RNG_STATE, TRACE)}
    if found != expected:
        odd = min(name for name in expected.keys() | found.keys() if found.get(name) != expected.get(name))
        raise CheckpointError("a checkpoint must hold the tensors of this adapter", got=f"{odd} astray", where=where)


def _told(checkpoint: Checkpoint, where: str) -> tuple[int, float, list[int]]:
    """Return the epoch, the sum of losses, and where killed runs went on, this one included."""
    stated = checkpoint.state
    epoch, loss_sum, beginnings = (stated.get(name) for name in ("epoch", "loss_sum", "resumed_from"))
    try:
        total = float.fromhex(loss_sum) if isinstance(loss_sum, str) else math.nan
    except (ValueError, OverflowError):
        total = math.nan
    if not math.isfinite(total):
        raise CheckpointError("`loss_sum` of a checkpoint must be a hex float", got=repr(loss_sum)[:40], where=where)
    if type(epoch) is not int or not isinstance(stated.get("deciding"), Mapping):
        raise CheckpointError("a checkpoint's state must have `epoch` and `deciding`", got="another", where=where)
    if not isinstance(beginnings, list) or not all(type(step) is int for step in beginnings):
        raise CheckpointError("`resumed_from` of a checkpoint must be steps", got=repr(beginnings)[:40], where=where)
    return epoch, total, [*beginnings, checkpoint.step]


def _check_deciding(recorded: Mapping[str, Any], here: Mapping[str, Any], where: str) -> None:
    for name in sorted(recorded.keys() | here.keys()):
        if recorded.get(name) != here.get(name):
            raise CheckpointError(
                "a stock run must go on with the kernels that it began with, or its bits are those of neither",
                got=_described(name, recorded.get(name), here.get(name)),
                where=where,
                remedy="resume where it began (set `threads` for another thread count), or start a new run",
            )


def _described(name: str, recorded: Any, here: Any) -> str:
    if isinstance(recorded, Mapping) and isinstance(here, Mapping):
        key = min(key for key in recorded.keys() | here.keys() if recorded.get(key) != here.get(key))
        return _described(f"{name}.{key}", recorded.get(key), here.get(key))
    return f"{name} {str(here)[:12]} where it was {str(recorded)[:12]}"
