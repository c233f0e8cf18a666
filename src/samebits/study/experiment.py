"""The whole experiment: for each numerics profile a golden run, its repeats, and one change at a time.

What is known is written to study.json after every run, so that an interrupted study leaves a readable state.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from samebits.canonical.atomic import write_atomic
from samebits.canonical.json_bytes import dump_json
from samebits.errors import StorageError, UsageError
from samebits.recipe.settings import PORTABLE_F32, STOCK
from samebits.report.runs import Run, read_run
from samebits.study.judge import facts_of, judge
from samebits.study.plan import FACTORS, has_baseline, portable_variations, stock_variations
from samebits.study.rows import STUDY_FILE, Experiment, Row
from samebits.study.runner import Job, Outcome, Runner
from samebits.study.stock import expected_facts, missing_baseline
from samebits.study.variation import PAIRS, Variation, repeats, without

DEFAULT_RUNS = 5
N_STOCK_RUNS = 2
_SCRATCH = ".work"


@dataclass(frozen=True)
class Place:
    """Which run of how many; None as long as the golden run has not told."""

    number: int
    total: int | None


class Listener(Protocol):
    """Told about each run of a study, in order."""

    def on_start(self, row: Row, place: Place) -> None:
        """A training begins."""

    def on_end(self, row: Row, outcome: Outcome | None) -> None:
        """A row is decided; `outcome` is None where no training was made."""


@dataclass(frozen=True)
class Choice:
    """What a study is to vary: see `plan`."""

    full: bool = False
    only: Collection[str] = ()


def run_study(
    out: Path,
    *,
    runner: Runner,
    listener: Listener,
    n_runs: int = DEFAULT_RUNS,
    full: bool = False,
    require_all: bool = False,
    only: Collection[str] = (),
    command: str = "samebits study",
) -> Experiment:
    """Run a study in a new folder: the portable profile first, then stock, which must be seen to break.

    Args:
        out: made if it is not there; must be empty.
        n_runs: portable runs with nothing changed, the golden run among them.
        full: more values of each factor, and several changes at once.
        require_all: a variation that changed nothing here makes the study undecided.
        only: factors to vary; all where empty.
        command: what the report says to type to do this again.
    Raises:
        UsageError: too few runs, an unknown factor, or a folder that is not empty.
        StorageError: the disk refused.
        KeyboardInterrupt: after the children were ended and study.json says what was not run.
    """
    _check_arguments(out, n_runs, only, full=full)
    experiment = Experiment(command, require_all)
    study = _Study(out, runner, listener, experiment)
    choice = Choice(full, only)
    try:
        facts = study.run_portable(n_runs, choice)
        if facts is not None:
            experiment.is_complete = not has_baseline(full=full, only=only) or study.run_stock(facts, choice)
    finally:
        study.write()
        shutil.rmtree(study.scratch, ignore_errors=True)
    return experiment


class _Study:
    """The folder, the runner, and the rows so far."""

    def __init__(self, out: Path, runner: Runner, listener: Listener, experiment: Experiment) -> None:
        self.out, self.runner, self.listener, self.experiment = out.resolve(), runner, listener, experiment
        self.scratch = self.out / _SCRATCH
        self.runs: dict[str, Run] = {}
        self.n_started = 0
        self.n_planned: int | None = None
        try:
            for folder in ("runs", "logs", _SCRATCH):
                (self.out / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError("the study's folder must be writable", got=str(error), where=str(out)) from error

    def run_portable(self, n_runs: int, choice: Choice) -> dict[str, Any] | None:
        """Run the portable side; return the golden run's facts, or None where it cannot serve as one."""
        golden, *again = repeats(PORTABLE_F32, n_runs)
        facts = self._run_golden(golden)
        if facts is None:
            return None
        table = [*again, *portable_variations(facts, self.scratch, full=choice.full, only=choice.only)]
        self._plan([*table, *self._stock_table(expected_facts(facts), choice)])
        self.run_all(table)
        return facts

    def run_stock(self, portable_facts: Mapping[str, Any], choice: Choice) -> bool:
        """Run the stock side, or say why not; return whether all of it was done."""
        golden, *again = repeats(STOCK, N_STOCK_RUNS)
        if (reason := missing_baseline()) is not None:
            table = [golden, *again, *self._stock_variations(expected_facts(portable_facts), choice)]
            self.run_all(without(table, reason))
            return True
        facts = self._run_golden(golden)
        if facts is None:
            return False
        table = [*again, *self._stock_variations(facts, choice)]
        self._plan(table)
        self.run_all(table)
        return True

    def run_all(self, table: Sequence[Variation]) -> None:
        """Run each variation; rows of those still to come say so until then."""
        first = len(self.experiment.rows)
        self.experiment.rows += [_planned(variation) for variation in table]
        for number, variation in enumerate(table, start=first):
            self.write()
            row = self.experiment.rows[number]
            if variation.unavailable is not None:
                row = replace(row, verdict="not tested", reason=variation.unavailable)
                outcome = None
            else:
                self.n_started += 1
                self.listener.on_start(row, Place(self.n_started, self.n_planned))
                row, outcome = self._run(variation, row)
            self.experiment.rows[number] = row
            self.listener.on_end(row, outcome)

    def write(self) -> None:
        """Write study.json as things stand."""
        write_atomic(self.out / STUDY_FILE, dump_json(self.experiment.document()))

    def _run_golden(self, golden: Variation) -> dict[str, Any] | None:
        self.run_all([golden])
        run = self.runs.get(golden.name)
        return None if run is None else facts_of(run)

    def _plan(self, table: Sequence[Variation]) -> None:
        self.n_planned = self.n_started + sum(variation.unavailable is None for variation in table)

    def _stock_table(self, facts: Mapping[str, Any], choice: Choice) -> list[Variation]:
        if not has_baseline(full=choice.full, only=choice.only) or missing_baseline() is not None:
            return []
        return [*repeats(STOCK, N_STOCK_RUNS), *self._stock_variations(facts, choice)]

    def _stock_variations(self, facts: Mapping[str, Any], choice: Choice) -> list[Variation]:
        return stock_variations(facts, self.scratch, full=choice.full, only=choice.only)

    def _run(self, variation: Variation, row: Row) -> tuple[Row, Outcome]:
        folder = self.scratch / (variation.folder or "folder")
        folder.mkdir(exist_ok=True)
        settings = (f"numerics={variation.profile}", *variation.settings)
        job = Job(
            self.out / "runs" / variation.name,
            self.out / "logs" / f"{variation.name}.log",
            folder,
            variation.environment,
            settings,
            variation.prelude,
        )
        outcome = self._begin(variation, job) or self._train(replace(job, resume=variation.beginning is not None))
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
        settings = (f"numerics={variation.profile}", *first.settings)
        log = job.log.with_name(f"{variation.name}-first.log")
        outcome = self._train(replace(job, log=log, prelude=first.prelude, settings=settings))
        if outcome.exit_code == first.exit_code:
            return None
        how = outcome.problem or f"it trained to its end, see logs/{log.name}"
        return replace(outcome, problem=f"the child that was to end after a step did not: {how}")

    def _train(self, job: Job) -> Outcome:
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
    )


def _check_arguments(out: Path, n_runs: int, only: Collection[str], *, full: bool) -> None:
    if n_runs < 2:
        raise UsageError("a study must have two unchanged runs or more", got=str(n_runs))
    if unknown := sorted(set(only) - set(FACTORS)):
        raise UsageError(f"a factor must be one of {', '.join(FACTORS)}", got=unknown[0])
    if PAIRS in only and not full:
        raise UsageError("pairs belong to a full study", got=f"--only {PAIRS}", remedy="add --full")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            "a study needs an empty folder", got="one with content", where=str(out), remedy="name another with --out"
        )
