"""A series of runs in one folder: each variation trained by a child, held against its golden run, and written down.

What is known is written to study.json after every run, so that an interrupted series leaves a readable state.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from samebits.canonical.atomic import write_atomic
from samebits.canonical.json_bytes import dump_json
from samebits.errors import StorageError, UsageError
from samebits.recipe.settings import STOCK, Settings
from samebits.report.runs import Run, read_run
from samebits.study.judge import facts_of, judge
from samebits.study.rows import STUDY_FILE, Experiment, Row
from samebits.study.runner import Job, Outcome, Runner
from samebits.study.variation import Variation

_SCRATCH = ".work"
_HASH_SEED = "PYTHONHASHSEED"


@dataclass(frozen=True)
class Place:
    """Which run of how many; None as long as the golden run has not told."""

    number: int
    total: int | None


class Listener(Protocol):
    """Told about each run of a series, in order."""

    def on_rows(self, rows: Sequence[Row]) -> None:
        """Rows were added or decided: all of them, those still to come included."""

    def on_start(self, row: Row, place: Place) -> None:
        """A training begins."""

    def on_end(self, row: Row, outcome: Outcome | None) -> None:
        """A row is decided; `outcome` is None where no training was made."""


class Series:
    """The folder, the runner, and the rows so far.

    Args:
        out: made if it is not there; must be empty.
        recipe: the recipe file of every run; the embedded recipe where left out.
        seed: of that recipe.
    Raises:
        UsageError: a folder that is not empty.
        StorageError: the disk refused.
    """

    def __init__(
        self,
        out: Path,
        runner: Runner,
        listener: Listener,
        experiment: Experiment,
        *,
        recipe: Path | None = None,
        seed: int = Settings.model_fields["seed"].default,
    ) -> None:
        self.out, self.runner, self.listener, self.experiment = out.resolve(), runner, listener, experiment
        self.recipe, self.seed = recipe, seed
        self.scratch = self.out / _SCRATCH
        self.runs: dict[str, Run] = {}
        self.n_started = 0
        self.n_planned: int | None = None
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            remedy = "name another with --out"
            raise UsageError("the runs need an empty folder", got="one with content", where=str(out), remedy=remedy)
        try:
            for folder in ("runs", "logs", _SCRATCH):
                (self.out / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError("the folder of the runs must be writable", got=str(error), where=str(out)) from error

    def run_golden(self, golden: Variation) -> dict[str, Any] | None:
        """Run a golden run; return its facts, or None where it cannot serve as one."""
        self.run_all([golden])
        run = self.runs.get(golden.name)
        return None if run is None else facts_of(run)

    def run_all(self, table: Sequence[Variation]) -> list[Row]:
        """Run each variation and return the rows; those of runs still to come say so until then."""
        first = len(self.experiment.rows)
        self.experiment.rows += [_planned(variation) for variation in table]
        for number, variation in enumerate(table, start=first):
            self.write()
            row = self.experiment.rows[number]
            outcome = None
            if variation.unavailable is not None:
                row = replace(row, verdict="not tested", reason=variation.unavailable)
            else:
                self.n_started += 1
                self.listener.on_start(row, Place(self.n_started, self.n_planned))
                row, outcome = self._run(variation, row)
            self.experiment.rows[number] = row
            self.listener.on_end(row, outcome)
        return self.experiment.rows[first:]

    def plan(self, table: Sequence[Variation]) -> None:
        """Say which runs are still to come, so that their number is known."""
        self.n_planned = self.n_started + sum(variation.unavailable is None for variation in table)

    def write(self) -> None:
        """Write study.json as things stand."""
        self.listener.on_rows(self.experiment.rows)
        write_atomic(self.out / STUDY_FILE, dump_json(self.experiment.document()))

    def close(self) -> None:
        """Write study.json and remove what the children needed only while they ran."""
        self.write()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _run(self, variation: Variation, row: Row) -> tuple[Row, Outcome]:
        folder = self.scratch / (variation.folder or "folder")
        folder.mkdir(parents=True, exist_ok=True)
        job = Job(
            self.out / "runs" / variation.name,
            self.out / "logs" / f"{variation.name}.log",
            folder,
            variation.environment,
            (f"numerics={variation.profile}", *variation.settings),
            variation.prelude,
            recipe=self.recipe,
            changes=variation.changes,
            container=variation.container,
        )
        outcome = self._begin(variation, job) or self._train(
            replace(job, resume=variation.beginning is not None), variation.profile
        )
        if outcome.problem is not None:
            return replace(row, reason=outcome.problem), outcome
        run = read_run(job.run, variation.name)
        if run.state == "complete":
            self.runs[variation.name] = run
        return judge(variation, row, run, self.runs), outcome

    def _begin(self, variation: Variation, job: Job) -> Outcome | None:
        """Run the child that leaves a run to resume, if there is one; return its outcome where it went otherwise."""
        first = variation.beginning
        if first is None:
            return None
        # Stock kernels do not go on with other threads than they began with; portable ones begin as the golden run.
        own = variation.settings if variation.profile == STOCK else ()
        settings = (f"numerics={variation.profile}", *own, *first.settings)
        log = job.log.with_name(f"{variation.name}-first.log")
        # What a part does inside the child it does in this one too.
        prelude = "\n".join(filter(None, [job.prelude, first.prelude]))
        outcome = self._train(replace(job, log=log, prelude=prelude, settings=settings), variation.profile)
        if outcome.exit_code == first.exit_code:
            return None
        how = outcome.problem or f"it trained to its end, see logs/{log.name}"
        return replace(outcome, problem=f"the child that was to end after a step did not: {how}")

    def _train(self, job: Job, profile: str) -> Outcome:
        if profile == STOCK and job.prelude is not None:
            # As a program a stock run restarts itself under the recipe's own hash seed; inside another it cannot.
            job = replace(job, environment={_HASH_SEED: str(self.seed), **job.environment})
        outcome = self.runner.train(job)
        if outcome.problem is None:
            return outcome
        return replace(outcome, problem=f"{outcome.problem}, see logs/{job.log.name}")


def _planned(variation: Variation) -> Row:
    return Row(
        variation.profile,
        variation.name,
        variation.factor,
        variation.changed,
        variation.expectation,
        variation.against,
        parts=tuple((part.factor, part.name) for part in variation.parts),
    )
