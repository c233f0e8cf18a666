"""LoRA fine-tuning on the portable arithmetic, recorded step by step.

Each step: the summed loss and gradient of every sample alone, added up in a fixed tree over the batch (N-11), divided
once by the batch's target tokens, clipped by its norm, and handed to AdamW (N-13).
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from samebits.canonical.safetensors_file import tensors_sha256
from samebits.data.dataset import TokenSample, n_target_tokens, token_ids_sha256
from samebits.data.order import StepPlan, plan_steps, sample_seed
from samebits.models.families import AdaptedModel, adapt
from samebits.models.generation import continue_prompts
from samebits.models.inputs import Inputs, find_inputs, recording_of
from samebits.models.noise import Noise
from samebits.models.pack import pack_samples, plan_packs
from samebits.numerics import library, observation
from samebits.numerics.arrays import F32
from samebits.numerics.facts import library_facts
from samebits.numerics.ops import NUMERICS_VERSION
from samebits.numerics.optimizer import AdamW, adamw, adamw_scalars, clip_factor, gradient_norm
from samebits.numerics.sample_tree import SampleTree
from samebits.numerics.schedules import Schedule
from samebits.recipe.settings import PORTABLE_F32, Settings
from samebits.record.checkpoint import Checkpoint
from samebits.record.documents import recipe_digest, results_document
from samebits.record.execution import default_threads
from samebits.record.finite import check_loss, check_tensors
from samebits.record.layout import RunFolder
from samebits.record.operations import Header, Level, OperationTrace, Recorder
from samebits.record.outcome import TrainingOutcome
from samebits.record.progress import Progress
from samebits.record.recording import record_training
from samebits.record.target import check_target
from samebits.record.trace import step_record, trace_bytes, trace_root
from samebits.training.execution import execution_document, library_versions
from samebits.training.losses import evaluate, in_units, mean_loss
from samebits.training.memory import EACH_ALONE, PassPlan, plan_pass
from samebits.training.observer import StepObserver
from samebits.training.state import TrainingState, begin, restore, snapshot

OPTIMIZER = "AdamW (N-13)"


def train(settings: Settings, out: Path, *, resume: bool, progress: Progress) -> TrainingOutcome:
    """Train one adapter and write the run folder; with `resume`, go on from the newest checkpoint in it.

    Sets the number of threads of the kernels for the rest of the process.

    Args:
        out: a new or empty folder; with `resume`, that of the killed run, of whatever machine.
    Raises:
        SamebitsError: bad input, a foreign or damaged state, a full disk, a number that is not finite; no earlier
            checkpoint is lost.
    """
    assert settings.numerics == PORTABLE_F32, "another profile has another engine"
    run = RunFolder(out)
    check_target(run, resume=resume)
    inputs = find_inputs(settings)
    recording = recording_of(settings, inputs)
    return record_training(run, lambda: Training(settings, inputs), recording, resume=resume, progress=progress)


class Training:
    """One training of a recipe on this machine, between two of its steps.

    Sets the number of threads of the kernels for the rest of the process.

    Args:
        inputs: what the settings name, found and checked.
    """

    def __init__(self, settings: Settings, inputs: Inputs) -> None:
        library.set_threads(settings.threads or default_threads())
        self.settings, self.inputs = settings, inputs
        self.recipe = inputs.recipe
        self.deciding: dict[str, Any] = {}
        self.plans = plan_steps(len(inputs.data.train.samples), settings)
        self.state = begin(adapt(inputs.base, settings))

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
        """Return the tensors and the JSON of a checkpoint: nothing in it knows this machine."""
        return snapshot(self.state)

    def restore(self, checkpoint: Checkpoint, where: str) -> None:
        """Go on from a verified checkpoint of this recipe.

        Raises:
            CheckpointError: its tensors are not this adapter's, or not those that its trace tells.
        """
        restore(self.state, checkpoint, where)

    def take_step(self) -> dict[str, Any]:
        """Take the next optimizer step and return its trace record.

        Raises:
            NonFiniteError: a loss, gradient or parameter is NaN or infinite.
        """
        return take_step(self.state, self._plan, self._samples, self.settings, n_steps=self.n_steps)

    def trace_step(self, level: Level, keep: Container[int] = ()) -> OperationTrace:
        """Take the next optimizer step, each sample alone, and return the digests of its outputs.

        Args:
            keep: numbers of the outputs whose tensors are kept too, in memory.
        Raises:
            NonFiniteError: a loss, gradient or parameter is NaN or infinite.
        """
        recorder, settings = Recorder(keep), self.settings
        with observation.observing(StepObserver(level, recorder)):
            record = take_step(
                *(self.state, self._plan, self._samples, settings), n_steps=self.n_steps, passes=EACH_ALONE
            )
        return recorder.trace(
            Header(
                level=level,
                step=self.step,
                numerics=settings.numerics,
                numerics_version=NUMERICS_VERSION,
                isa=library.loaded().isa,
                n_threads=library.threads(),
                libraries=library_versions(),
                recipe_sha256=recipe_digest(self.recipe),
                trace_line_sha256=record["sha256"],
            )
        )

    @property
    def _plan(self) -> StepPlan:
        return self.plans[self.step]

    @property
    def _samples(self) -> Sequence[TokenSample]:
        return self.inputs.data.train.samples

    def golden_documents(self) -> dict[str, Any]:
        """Evaluate and generate after the last step; return what `record.documents.write_golden` writes."""
        state, settings = self.state, self.settings
        return {
            "recipe": self.recipe,
            "training_args": _training_args(state.adapted, self.inputs, settings, n_steps=self.n_steps),
            "results": _results(state, self.inputs, settings),
            "trace": trace_bytes(state.trace),
            "generations": continue_prompts(
                *(state.adapted.model, self.inputs.tokenizer),
                *(settings.generation_prompts, settings.generation_max_new_tokens),
            ),
            "adapter_config": state.adapted.peft_config,
            "adapter": state.adapted.parameters,
        }

    def facts(self) -> dict[str, Any]:
        """Return what the kernels tell for the fingerprint of this machine."""
        return {"numerics": library_facts()}

    def execution_document(self, environment: str) -> dict[str, Any]:
        """Return `observed/execution.json`."""
        return execution_document(self.settings, environment, n_passes=self.state.n_passes)


def take_step(
    state: TrainingState,
    plan: StepPlan,
    samples: Sequence[TokenSample],
    settings: Settings,
    *,
    n_steps: int,
    passes: PassPlan | None = None,
) -> dict[str, Any]:
    """Take one optimizer step; add its record to the trace and return it.

    Args:
        passes: how the samples are cut into passes; by default what the memory budget allows.
    Raises:
        NonFiniteError: a loss, gradient or parameter is NaN or infinite.
    """
    chosen = [samples[index] for index in plan.places]
    n_targets = n_target_tokens(chosen)
    loss_units, gradient, sample_gradients_sha256 = _summed_gradient(state, chosen, plan, settings, passes)
    state.loss_units += loss_units
    tensors = state.adapted.tensors
    check_tensors(tensors.views(gradient), "gradient", plan.step)
    norm = gradient_norm(gradient, tensors, n_targets=n_targets)
    gradients_sha256 = tensors_sha256(tensors.views(gradient))
    learning_rate = _schedule(settings, n_steps).learning_rate(plan.step - 1)
    clip = clip_factor(norm, settings.max_grad_norm)
    scalars = adamw_scalars(_adamw(settings), learning_rate=learning_rate, step=plan.step - 1, clip=clip)
    adamw(state.adapted.flat, gradient, state.exp_avg, state.exp_avg_sq, scalars)
    check_tensors(state.adapted.parameters, "parameter", plan.step)
    record = step_record(
        step=plan.step,
        sample_ids=plan.places,
        token_sha256=token_ids_sha256(chosen),
        sample_tokens_sha256=[token_ids_sha256([sample]) for sample in chosen],
        loss=mean_loss(loss_units, n_targets),
        grad_norm=norm,
        learning_rate=learning_rate,
        sample_gradients_sha256=sample_gradients_sha256,
        gradients_sha256=gradients_sha256,
        parameters_sha256=tensors_sha256(state.adapted.parameters),
        optimizer_sha256=tensors_sha256(state.optimizer_tensors()),
        n_target_tokens=n_targets,
        previous_sha256=state.previous_sha256,
    )
    state.trace.append(record)
    state.step = plan.step
    return record


def _summed_gradient(
    state: TrainingState,
    chosen: Sequence[TokenSample],
    plan: StepPlan,
    settings: Settings,
    passes: PassPlan | None,
) -> tuple[int, F32, list[str]]:
    """Return the exact sum of a step's losses, the sum of its gradients in the fixed tree, and each one's digest."""
    adapted = state.adapted
    noise = Noise(
        settings.seed,
        plan.step - 1,
        {name: number for number, name in enumerate(adapted.tensors.shapes)},
        {name: number for number, name in enumerate(sorted(adapted.dropping_places))},
    )
    size = adapted.tensors.size
    tree = SampleTree(len(chosen), (size,))
    passes = passes or plan_pass(adapted.model, chosen, settings.memory_budget_mib, n_gradient_floats=size)
    loss_units, digests = 0, list[str]()
    for part in plan_packs(chosen, passes.n_rows, rows_per_sample=passes.rows_per_sample):
        leaves = [tree.buffer() for _ in part]
        gradients = [adapted.tensors.views(leaf) for leaf in leaves]
        with observation.of_sample(plan.places[len(digests)]):
            losses = adapted.model.losses_and_gradients(
                pack_samples(part), noise, gradients, keeps_activations=passes.keeps_activations
            )
        state.n_passes += 1
        check_loss(sum(losses), plan.step)
        loss_units += in_units(losses)
        digests += [tensors_sha256(gradient) for gradient in gradients]
        for leaf in leaves:
            tree.add(leaf)
    return loss_units, tree.total(), digests


def _schedule(settings: Settings, n_steps: int) -> Schedule:
    return Schedule(
        settings.lr_scheduler_type, settings.learning_rate, n_steps=n_steps, warmup_steps=settings.warmup_steps
    )


def _adamw(settings: Settings) -> AdamW:
    return AdamW(settings.adam_beta1, settings.adam_beta2, settings.adam_epsilon, settings.weight_decay)


def _results(state: TrainingState, inputs: Inputs, settings: Settings) -> dict[str, Any]:
    held_out = inputs.data.evaluation.samples if inputs.data.evaluation else ()
    n_trained = sum(record["n_target_tokens"] for record in state.trace)
    model = state.adapted.model
    n_rows = plan_pass(model, held_out, settings.memory_budget_mib).n_rows if held_out else 0
    return results_document(
        mean_loss(state.loss_units, n_trained),
        evaluate(model, held_out, n_rows) if held_out else None,
        n_steps=state.step,
        n_target_tokens=n_trained,
        trace_root_sha256=trace_root(state.trace),
        n_eval_target_tokens=n_target_tokens(held_out),
    )


def _training_args(adapted: AdaptedModel, inputs: Inputs, settings: Settings, *, n_steps: int) -> dict[str, Any]:
    """Return the recipe's settings with everything resolved that they leave open."""
    return {
        **inputs.recipe["settings"],
        "data_seed": sample_seed(settings),
        "lora_target_modules": sorted(adapted.peft_config["target_modules"]),
        "fan_in_fan_out": adapted.peft_config["fan_in_fan_out"],
        "n_steps": n_steps,
        "n_trained_parameters": adapted.tensors.size,
        "optimizer": OPTIMIZER,
        "dtype": "float32",
        "padding": "none",
        "loss_divisor": "target tokens of the global batch",
    }
