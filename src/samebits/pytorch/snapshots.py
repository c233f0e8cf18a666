"""The state of a training between two steps: what a checkpoint holds, and how it comes back."""

from __future__ import annotations

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
from samebits.record.checkpoint import Checkpoint, latest_checkpoint, read_checkpoint
from samebits.record.layout import RunFolder
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


def bring_back(run: RunFolder, state: TrainingState, recipe_sha256: str, deciding: Mapping[str, Any]) -> str:
    """Bring a new training to the newest checkpoint of a run, if there is one; return a sentence that says which.

    Args:
        deciding: what decides the bits beside the recipe, here.
    Raises:
        CheckpointError: the newest checkpoint is incomplete, damaged, of another recipe or of other kernels.
    """
    path = latest_checkpoint(run)
    if path is None:
        return "the run has no checkpoint yet: training starts from the beginning"
    restore(state, read_checkpoint(path, recipe_sha256), deciding, str(path))
    return f"training goes on after step {state.step}"


def restore(state: TrainingState, checkpoint: Checkpoint, deciding: Mapping[str, Any], where: str) -> None:
    """Bring a new training to the state of a verified checkpoint, torch's generator included.

    Raises:
        CheckpointError: the checkpoint was made by other kernels, or its tensors are not this adapter's.
    """
    _check_deciding(checkpoint.state["deciding"], deciding, where)
    expected = {f"{kind}.{name}" for name in state.parameters for kind in ("parameter", *MOMENTS)}
    expected |= {RNG_STATE, TRACE}
    if checkpoint.tensors.keys() != expected:
        odd = min(checkpoint.tensors.keys() ^ expected)
        raise CheckpointError("a checkpoint must hold the tensors of this adapter", got=f"{odd} astray", where=where)
    with torch.no_grad():
        for name, parameter in state.parameters.items():
            parameter.copy_(torch.from_numpy(checkpoint.tensors[f"parameter.{name}"]))
            moments = {moment: torch.from_numpy(checkpoint.tensors[f"{moment}.{name}"]).clone() for moment in MOMENTS}
            state.optimizer.state[parameter] = moments
    with warnings.catch_warnings():
        # The steps that went before these were taken by the optimizer of the killed process.
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        for _ in range(checkpoint.step):
            state.scheduler.step()
    torch.set_rng_state(torch.from_numpy(checkpoint.tensors[RNG_STATE]))
    state.step = checkpoint.step
    state.epoch = checkpoint.state["epoch"]
    state.loss_sum = float.fromhex(checkpoint.state["loss_sum"])
    state.trace = read_trace(checkpoint.tensors[TRACE].tobytes(), where)
    state.resumed_from = [*checkpoint.state["resumed_from"], checkpoint.step]
    if state.trace[-1]["parameters_sha256"] != tensors_sha256(arrays(state.parameters)):
        raise CheckpointError("a checkpoint's parameters must be those of its trace", got="others", where=where)


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
