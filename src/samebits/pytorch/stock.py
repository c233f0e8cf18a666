"""LoRA fine-tuning by transformers and PEFT as their users run it, on PyTorch's own kernels, recorded step by step.

The loop is that of transformers.Trainer, operation by operation (a test compares the bits of both): the loss of each
forward pass is divided by the number of target tokens of the whole global batch, gradients are clipped by their common
norm, and AdamW is torch's fused one, Trainer's default.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import get_scheduler

from samebits.canonical.safetensors_file import tensors_sha256
from samebits.data.dataset import TokenSample, n_target_tokens, token_ids_sha256
from samebits.data.order import StepPlan, plan_steps, sample_seed
from samebits.models.inputs import Inputs, find_inputs, recording_of
from samebits.pytorch.adapter import adapter_config, arrays, attach_adapter, load_base, trained_parameters
from samebits.pytorch.determinism import DeterministicConfig
from samebits.pytorch.evaluation import evaluate, summed_loss
from samebits.pytorch.execution import deciding_facts, execution_document, set_threads
from samebits.pytorch.facts import torch_facts
from samebits.pytorch.generation import continue_prompts
from samebits.pytorch.operations import StepObserver, observing
from samebits.pytorch.quiet import quiet_libraries
from samebits.pytorch.seeds import seed_generators
from samebits.pytorch.snapshots import TrainingState, restore, snapshot
from samebits.recipe.settings import STOCK, Settings
from samebits.record.checkpoint import Checkpoint
from samebits.record.documents import recipe_digest, results_document
from samebits.record.finite import check_loss, check_tensors
from samebits.record.layout import RunFolder
from samebits.record.operations import Header, Level, OperationTrace
from samebits.record.outcome import TrainingOutcome
from samebits.record.progress import Progress
from samebits.record.recording import record_training
from samebits.record.target import check_target
from samebits.record.trace import step_record, trace_bytes, trace_root

OPTIMIZER = "adamw_torch_fused"


def train(settings: Settings, out: Path, *, resume: bool, progress: Progress) -> TrainingOutcome:
    """Train one adapter and write the run folder; with `resume`, go on from the newest checkpoint in it.

    Changes the global state of torch (seeds, deterministic modes, threads) for the rest of the process.

    Args:
        out: a new or empty folder; with `resume`, that of the killed run.
    Raises:
        SamebitsError: bad input, a foreign or damaged state, a full disk, a number that is not finite; no earlier
            checkpoint is lost.
    """
    assert settings.numerics == STOCK, "another profile has another engine"
    run = RunFolder(out)
    check_target(run, resume=resume)
    inputs = find_inputs(settings)
    recording = recording_of(settings, inputs)
    return record_training(run, lambda: StockTraining(settings, inputs), recording, resume=resume, progress=progress)


class StockTraining:
    """One training of a recipe on this machine by PyTorch's own kernels, between two of its steps.

    Changes the global state of torch (seeds, deterministic modes, threads) for the rest of the process.

    Args:
        inputs: what the settings name, found and checked.
    """

    @quiet_libraries()
    def __init__(self, settings: Settings, inputs: Inputs) -> None:
        DeterministicConfig.setup_deterministic_environment(settings.seed)
        set_threads(settings)
        self.settings, self.inputs = settings, inputs
        self.recipe = inputs.recipe
        self._facts = torch_facts()
        self.deciding = deciding_facts(self._facts)
        self.plans = plan_steps(len(inputs.data.train.samples), settings)
        self.state = begin(inputs.base.folder, settings, n_steps=len(self.plans))

    @property
    def n_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return len(self.plans)

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self.state.step

    @property
    def records(self) -> list[dict[str, Any]]:
        """The trace so far: a record for each step done."""
        return self.state.trace

    @property
    def resumed_from(self) -> list[int]:
        """Steps after which a killed run went on."""
        return self.state.resumed_from

    def snapshot(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the tensors and the JSON of a checkpoint."""
        return snapshot(self.state, self.deciding)

    def restore(self, checkpoint: Checkpoint, where: str) -> None:
        """Go on from a verified checkpoint of this recipe.

        Raises:
            CheckpointError: it was made by other kernels, or its tensors are not this adapter's.
        """
        restore(self.state, checkpoint, self.deciding, where)

    @quiet_libraries()
    def take_step(self) -> dict[str, Any]:
        """Take the next optimizer step and return its trace record.

        Raises:
            NonFiniteError: a loss, gradient or parameter is NaN or infinite.
        """
        return take_step(self.state, self.plans[self.step], self.inputs.data.train.samples, self.settings)

    @quiet_libraries()
    def trace_step(self, level: Level, keep: Container[int] = ()) -> OperationTrace:
        """Take the next optimizer step and return the digests of its outputs.

        Args:
            keep: numbers of the outputs whose tensors are kept too, in memory.
        Raises:
            NonFiniteError: a loss, gradient or parameter is NaN or infinite.
        """
        observer, plan = StepObserver(level, keep), self.plans[self.step]
        with observing(self.state.model, observer):
            record = take_step(self.state, plan, self.inputs.data.train.samples, self.settings, observer)
        return observer.recorder.trace(
            Header(
                level=level,
                step=self.step,
                numerics=STOCK,
                numerics_version=None,
                **{name: self.deciding[name] for name in ("isa", "n_threads", "libraries")},
                recipe_sha256=recipe_digest(self.recipe),
                trace_line_sha256=record["sha256"],
            )
        )

    @quiet_libraries()
    def golden_documents(self) -> dict[str, Any]:
        """Evaluate and generate after the last step; return what `record.documents.write_golden` writes."""
        state, settings = self.state, self.settings
        return {
            "recipe": self.recipe,
            "training_args": _training_args(state, self.inputs, settings, n_steps=self.n_steps),
            "results": _results(state, self.inputs, settings),
            "trace": trace_bytes(state.trace),
            "generations": continue_prompts(
                *(state.model, self.inputs.tokenizer),
                *(settings.generation_prompts, settings.generation_max_new_tokens),
            ),
            "adapter_config": adapter_config(state.model),
            "adapter": arrays(state.parameters),
        }

    def facts(self) -> dict[str, Any]:
        """Return what torch tells for the fingerprint of this machine."""
        return {"torch": self._facts}

    def execution_document(self, environment: str) -> dict[str, Any]:
        """Return `observed/execution.json`."""
        return execution_document(self.settings, self._facts, environment)


def begin(base: Path, settings: Settings, *, n_steps: int) -> TrainingState:
    """Load the base, attach the seeded adapter, and make the optimizer and its schedule."""
    seed_generators(settings.seed)
    model = attach_adapter(load_base(base, settings.attn_implementation), settings)
    parameters = trained_parameters(model)
    optimizer = torch.optim.AdamW(
        parameters.values(),
        lr=settings.learning_rate,
        betas=(settings.adam_beta1, settings.adam_beta2),
        eps=settings.adam_epsilon,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    scheduler = get_scheduler(
        settings.lr_scheduler_type, optimizer, num_warmup_steps=settings.warmup_steps, num_training_steps=n_steps
    )
    # Trainer seeds again once the model is there: dropout does not depend on how many numbers the adapter drew.
    seed_generators(settings.seed)
    return TrainingState(model, parameters, optimizer, scheduler)


def take_step(
    state: TrainingState,
    plan: StepPlan,
    samples: Sequence[TokenSample],
    settings: Settings,
    observer: StepObserver | None = None,
) -> dict[str, Any]:
    """Take one optimizer step; add its record to the trace and return it.

    Args:
        observer: is told where the step is.
    Raises:
        NonFiniteError: a loss, gradient or parameter is NaN or infinite.
    """
    if plan.epoch != state.epoch:
        # Trainer's data loader draws a seed for its workers at the start of every epoch, without any worker too.
        torch.empty((), dtype=torch.int64).random_()
        state.epoch = plan.epoch
    chosen = [samples[index] for index in plan.places]
    n_targets = n_target_tokens(chosen)
    loss_sum = _accumulate_gradients(state, plan, samples, n_targets, observer)
    if observer is not None:
        observer.begin_update()
    gradients = {name: parameter.grad for name, parameter in state.parameters.items() if parameter.grad is not None}
    check_tensors(arrays(gradients), "gradient", plan.step)
    gradients_sha256 = tensors_sha256(arrays(gradients))
    grad_norm = _clip(state.parameters, settings.max_grad_norm)
    learning_rate = float(state.scheduler.get_last_lr()[0])
    state.optimizer.step()
    state.scheduler.step()
    state.model.zero_grad()
    check_tensors(arrays(state.parameters), "parameter", plan.step)
    record = step_record(
        step=plan.step,
        sample_ids=plan.places,
        token_sha256=token_ids_sha256(chosen),
        sample_tokens_sha256=[token_ids_sha256([sample]) for sample in chosen],
        loss=loss_sum / n_targets,
        grad_norm=grad_norm,
        learning_rate=learning_rate,
        gradients_sha256=gradients_sha256,
        parameters_sha256=tensors_sha256(arrays(state.parameters)),
        optimizer_sha256=tensors_sha256(state.optimizer_arrays()),
        n_target_tokens=n_targets,
        previous_sha256=state.previous_sha256,
    )
    state.trace.append(record)
    state.step = plan.step
    return record


def _accumulate_gradients(
    state: TrainingState,
    plan: StepPlan,
    samples: Sequence[TokenSample],
    n_targets: int,
    observer: StepObserver | None,
) -> float:
    """Add up the gradients of a step's forward passes; return the sum of its losses, added as binary64 in order."""
    state.model.train()
    step_loss_sum = 0.0
    for micro_batch in plan.micro_batches:
        if observer is not None:
            observer.begin_pass(micro_batch)
        loss_sum = summed_loss(state.model, [samples[index] for index in micro_batch])
        check_loss(loss_sum.item(), plan.step)
        # Divided as Trainer divides, by a float32 scalar, before the gradients are taken.
        (loss_sum / torch.tensor(float(n_targets))).backward()
        step_loss_sum += loss_sum.item()
    state.loss_sum += step_loss_sum
    return step_loss_sum


def _clip(parameters: Mapping[str, torch.nn.Parameter], max_grad_norm: float) -> float:
    """Scale the gradients down to a common norm; return the norm they had."""
    if max_grad_norm > 0:
        return float(torch.nn.utils.clip_grad_norm_(parameters.values(), max_grad_norm))
    gradients = [parameter.grad for parameter in parameters.values() if parameter.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients))


def _results(state: TrainingState, inputs: Inputs, settings: Settings) -> dict[str, Any]:
    held_out = inputs.data.evaluation.samples if inputs.data.evaluation else ()
    n_trained = sum(record["n_target_tokens"] for record in state.trace)
    return results_document(
        state.loss_sum / n_trained,
        evaluate(state.model, held_out, settings.per_device_eval_batch_size) if held_out else None,
        n_steps=state.step,
        n_target_tokens=n_trained,
        trace_root_sha256=trace_root(state.trace),
        n_eval_target_tokens=n_target_tokens(held_out),
    )


def _training_args(state: TrainingState, inputs: Inputs, settings: Settings, *, n_steps: int) -> dict[str, Any]:
    """Return the recipe's settings with everything resolved that they leave open."""
    config = adapter_config(state.model)
    return {
        **inputs.recipe["settings"],
        "data_seed": sample_seed(settings),
        "lora_target_modules": sorted(config["target_modules"]),
        "fan_in_fan_out": config["fan_in_fan_out"],
        "n_steps": n_steps,
        "n_trained_parameters": sum(parameter.numel() for parameter in state.parameters.values()),
        "optimizer": OPTIMIZER,
        "dtype": "float32",
        "padding": "right, to the longest sample of a forward pass",
        "loss_divisor": "target tokens of the global batch",
    }
