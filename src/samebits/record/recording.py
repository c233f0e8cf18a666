"""A training becomes a run folder, whatever engine trains: its steps, checkpoints, observed and golden files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from samebits.record.checkpoint import Checkpoint, keep_newest, latest_checkpoint, read_checkpoint, write_checkpoint
from samebits.record.documents import recipe_digest, write_golden, write_observed
from samebits.record.environment import environment_name
from samebits.record.execution import Stopwatch
from samebits.record.fingerprint import fingerprint
from samebits.record.layout import RunFolder
from samebits.record.operations import FOLDER, Level, OperationTrace, write_operations
from samebits.record.outcome import TrainingOutcome
from samebits.record.progress import Progress
from samebits.record.target import finished_run


class Training(Protocol):
    """What an engine offers to be recorded: a training of one recipe, between two of its steps."""

    @property
    def n_steps(self) -> int:
        """Optimizer steps of the whole run."""

    @property
    def records(self) -> Sequence[Mapping[str, Any]]:
        """The trace so far: a record for each step done."""

    @property
    def resumed_from(self) -> Sequence[int]:
        """Steps after which a killed run went on."""

    def take_step(self) -> dict[str, Any]:
        """Take the next optimizer step and return its trace record."""

    def trace_step(self, level: Level) -> OperationTrace:
        """Take the next optimizer step and return the digests of its outputs."""

    def snapshot(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return the tensors and the JSON of a checkpoint."""

    def restore(self, checkpoint: Checkpoint, where: str) -> None:
        """Go on from a verified checkpoint of this recipe."""

    def golden_documents(self) -> dict[str, Any]:
        """Evaluate and generate after the last step; return what `write_golden` writes."""

    def facts(self) -> dict[str, Any]:
        """Return what the engine tells for the fingerprint of this machine, under its name."""

    def execution_document(self, environment: str) -> dict[str, Any]:
        """Return `observed/execution.json`."""


@dataclass(frozen=True)
class Recording:
    """How a training is recorded; nothing here reaches a bit.

    Args:
        recipe: the document of `golden/recipe.json`.
        origin: where the base was found, for the observed set.
        environment: of this machine, where the settings name one.
        trace_level: `module` or `op` writes a trace of operations for each step; None does not.
        save_steps: steps between checkpoints.
        save_total_limit: checkpoints kept, the newest; None keeps all.
        notes: what was noticed before.
    """

    recipe: Mapping[str, Any]
    origin: str
    environment: str | None
    trace_level: Level | None
    save_steps: int
    save_total_limit: int | None
    notes: Sequence[str] = ()


def record_training(
    run: RunFolder, begin: Callable[[], Training], recording: Recording, *, resume: bool, progress: Progress
) -> TrainingOutcome:
    """Train and write the run folder; a run that is finished already is checked and left as it is.

    Args:
        run: as `target.check_target` allowed it.
        begin: makes the training before its first step.
        resume: go on from the newest checkpoint in the folder.
    Raises:
        SamebitsError: a foreign or damaged state, a full disk, a number that is not finite; no earlier checkpoint is
            lost.
    """
    if run.is_complete():
        golden_digest, results = finished_run(run, recipe_digest(recording.recipe))
        progress.on_note("the run is finished already: nothing was trained")
        return TrainingOutcome(golden_digest, results, run)
    for note in recording.notes:
        progress.on_note(note)
    try:
        watch = Stopwatch()
        training = begin()
        if resume:
            progress.on_note(_bring_back(run, training, recipe_digest(recording.recipe)))
        watch.lap("load_s")
        _take_steps(run, training, recording, progress)
        watch.lap("train_s")
        return _write(run, training, recording, watch)
    finally:
        progress.on_finish()


def _bring_back(run: RunFolder, training: Training, recipe_sha256: str) -> str:
    """Bring a new training to the newest checkpoint of a run, if there is one; return a sentence that says which.

    Raises:
        CheckpointError: the newest checkpoint is incomplete, damaged, or of another recipe.
    """
    path = latest_checkpoint(run)
    if path is None:
        return "the run has no checkpoint yet: training starts from the beginning"
    training.restore(read_checkpoint(path, recipe_sha256), str(path))
    return f"training goes on after step {len(training.records)}"


def _take_steps(run: RunFolder, training: Training, recording: Recording, progress: Progress) -> None:
    recipe_sha256 = recipe_digest(recording.recipe)
    progress.on_start(training.n_steps, len(training.records) + 1)
    while len(training.records) < training.n_steps:
        if recording.trace_level is None:
            training.take_step()
        else:
            write_operations(run.path / FOLDER, training.trace_step(recording.trace_level))
        step, record = len(training.records), training.records[-1]
        progress.on_step(step, *(float.fromhex(record[name]) for name in ("loss", "learning_rate", "grad_norm")))
        if step % recording.save_steps == 0 and step < training.n_steps:
            write_checkpoint(run, step, *training.snapshot(), recipe_sha256=recipe_sha256)
            keep_newest(run, recording.save_total_limit)


def _write(run: RunFolder, training: Training, recording: Recording, watch: Stopwatch) -> TrainingOutcome:
    documents = training.golden_documents()
    watch.lap("evaluate_s")
    environment = fingerprint(training.facts())
    write_observed(
        run,
        env=environment,
        execution=training.execution_document(environment_name(recording.environment, environment["container"])),
        training_metadata={"base": recording.origin, **watch.metadata(resumed_from=training.resumed_from)},
    )
    return TrainingOutcome(write_golden(run, **documents), documents["results"], run)
