"""The whole experiment: a golden run, its repeats, one change at a time, and whether each expectation held.

What is known is written to study.json after every run, so that an interrupted study leaves a readable state.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from samebits.canonical.atomic import write_atomic
from samebits.canonical.json_bytes import dump_json
from samebits.errors import RecordError, StorageError, UsageError
from samebits.record.files import read_object
from samebits.record.manifest import require_keys
from samebits.report.runs import Run, read_run
from samebits.study.runner import Job, Outcome, Runner
from samebits.study.variation import FACTORS, GOLDEN, PAIRS, Variation, fact, repeats, variations

STUDY_FILE = "study.json"
DEFAULT_RUNS = 5
EXIT_CODES = {"held": 0, "broken": 1, "undecided": 2}
NO_EFFECT = "the child recorded the same effective settings as the golden run: the knob changes nothing here"
NOT_RUN = "not run"
_SCRATCH = ".work"


@dataclass(frozen=True)
class Row:
    """One run of the study: what was changed, expected and seen.

    Args:
        verdict: `golden`, `same`, `different`, `not tested` or `undecided`.
        held: whether the expectation held; None where that was not tested or could not be told.
    """

    run: str
    factor: str
    changed: str
    expectation: str
    against: str
    verdict: str = "undecided"
    held: bool | None = None
    reason: str = NOT_RUN
    golden_digest: str | None = None


@dataclass
class Experiment:
    """A study's rows so far, and what follows from them."""

    command: str
    require_all: bool = False
    is_complete: bool = False
    rows: list[Row] = field(default_factory=list)

    @property
    def findings(self) -> list[str]:
        """Return a sentence for every expectation that did not hold or could not be judged."""
        found = [f"{row.run}: the expectation `{row.expectation}` did not hold: {row.reason}" for row in self._broken()]
        if self._nothing_varied():
            found.append("No machine factor changed the bits: the variations did not vary anything.")
        found += [f"{row.run} could not be judged: {row.reason}" for row in self.rows if row.verdict == "undecided"]
        if self.require_all:
            found += [f"{row.run} was not tested: {row.reason}" for row in self._untested()]
        return found

    @property
    def verdict(self) -> str:
        """Return `broken` if an expectation did not hold, else `undecided` if one could not be judged, else `held`."""
        if self._broken() or self._nothing_varied():
            return "broken"
        undecided = not self.is_complete or any(row.verdict == "undecided" for row in self.rows)
        return "undecided" if undecided or (self.require_all and self._untested()) else "held"

    @property
    def sentence(self) -> str:
        """Return one sentence of counts."""
        promised = [row for row in self.rows if row.expectation == "same" and row.verdict != "golden"]
        machine = [row for row in self.rows if row.expectation == "may differ"]
        kept, changed = _count(promised, "same"), _count(machine, "different")
        n_undecided = _count(self.rows, "undecided")
        sentence = f"{kept} of {len(promised)} runs that must not change kept the bits"
        if machine:
            sentence += f"; {changed} of {len(machine)} changes of the machine's arithmetic changed them"
        sentence += f"; {len(self._untested())} not tested, {n_undecided} undecided."
        return sentence

    def document(self) -> dict[str, Any]:
        """Return what study.json holds."""
        return {
            "command": self.command,
            "is_complete": self.is_complete,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "findings": self.findings,
            "rows": [asdict(row) for row in self.rows],
        }

    def _broken(self) -> list[Row]:
        return [row for row in self.rows if row.held is False]

    def _untested(self) -> list[Row]:
        return [row for row in self.rows if row.verdict == "not tested"]

    def _nothing_varied(self) -> bool:
        """Whether machine factors were varied to the end and not one of them showed."""
        machine = [row for row in self.rows if row.expectation == "may differ"]
        return bool(machine) and all(row.verdict in ("same", "not tested") for row in machine)


class Listener(Protocol):
    """Told about each run of a study, in order."""

    def on_start(self, row: Row) -> None:
        """A training begins."""

    def on_end(self, row: Row, outcome: Outcome | None) -> None:
        """A row is decided; `outcome` is None where no training was made."""


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
    """Run a study in a new folder.

    Args:
        out: made if it is not there; must be empty.
        n_runs: runs with nothing changed, the golden run among them.
        full: see `variation.variations`.
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
    try:
        golden = study.run_golden(repeats(n_runs))
        if golden is not None:
            study.run_all(variations(_facts(golden), study.scratch, full=full, only=only))
            experiment.is_complete = True
    finally:
        study.write()
        shutil.rmtree(study.scratch, ignore_errors=True)
    return experiment


def read_experiment(folder: Path) -> dict[str, Any] | None:
    """Return what a study wrote of itself in `folder`; None where there is no study.

    Raises:
        RecordError: study.json is not what a study writes.
    """
    if not (folder / STUDY_FILE).exists():
        return None
    where = str(folder / STUDY_FILE)
    document = read_object(folder, STUDY_FILE)
    require_keys(document, set(Experiment("").document()), where)
    if not all(isinstance(document[key], str) for key in ("command", "sentence", "verdict")):
        raise RecordError("command, sentence and verdict must be texts", where=where)
    if not isinstance(document["findings"], list):
        raise RecordError("findings must be a list", where=where)
    if not isinstance(document["rows"], list) or not all(isinstance(row, dict) for row in document["rows"]):
        raise RecordError("rows must be a list of objects", where=where)
    for row in document["rows"]:
        require_keys(row, set(Row.__dataclass_fields__), where)
        if row["verdict"] not in ("golden", "same", "different", "not tested", "undecided"):
            raise RecordError("a verdict must be one of a study's", got=repr(row["verdict"]), where=where)
    if document["verdict"] not in EXIT_CODES:
        raise RecordError("the verdict must be held, broken or undecided", got=repr(document["verdict"]), where=where)
    return document


class _Study:
    """The folder, the runner, and the rows so far."""

    def __init__(self, out: Path, runner: Runner, listener: Listener, experiment: Experiment) -> None:
        self.out, self.runner, self.listener, self.experiment = out.resolve(), runner, listener, experiment
        self.scratch = self.out / _SCRATCH
        self.runs: dict[str, Run] = {}
        try:
            for folder in ("runs", "logs", _SCRATCH):
                (self.out / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError("the study's folder must be writable", got=str(error), where=str(out)) from error

    def run_golden(self, unchanged: Sequence[Variation]) -> Run | None:
        """Run the golden run and its repeats; return the golden run, or None where it cannot serve as one."""
        self.run_all(unchanged[:1])
        if GOLDEN not in self.runs:
            return None
        self.run_all(unchanged[1:])
        return self.runs[GOLDEN]

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
                self.listener.on_start(row)
                row, outcome = self._run(variation, row)
            self.experiment.rows[number] = row
            self.listener.on_end(row, outcome)

    def write(self) -> None:
        """Write study.json as things stand."""
        write_atomic(self.out / STUDY_FILE, dump_json(self.experiment.document()))

    def _run(self, variation: Variation, row: Row) -> tuple[Row, Outcome]:
        folder = self.scratch / (variation.folder or "folder")
        folder.mkdir(exist_ok=True)
        log = self.out / "logs" / f"{variation.name}.log"
        run_folder = self.out / "runs" / variation.name
        outcome = self.runner.train(
            Job(run_folder, log, folder, variation.environment, variation.settings, variation.prelude)
        )
        if outcome.problem is not None:
            return replace(row, reason=f"{outcome.problem}, see logs/{log.name}"), outcome
        run = read_run(run_folder, variation.name)
        if run.state == "complete":
            self.runs[variation.name] = run
        return judge(variation, row, run, self.runs), outcome


def judge(variation: Variation, row: Row, run: Run, runs: Mapping[str, Run]) -> Row:
    """Hold a run against the one it names, and say whether the expectation held.

    Args:
        runs: the complete runs so far, by name.
    """
    row = replace(row, golden_digest=run.golden_digest, reason="; ".join(run.reasons))
    expected = runs.get(variation.against)
    if run.state == "undecided" or (expected is None and run.state == "complete"):
        return replace(row, reason=row.reason or f"there is no complete run {variation.against} to hold it against")
    if variation.name == GOLDEN:
        return replace(row, verdict="golden" if run.state == "complete" else "undecided")
    if expected is None or run.state == "damaged":
        return replace(row, verdict="different", held=False)
    if run.golden_digest != expected.golden_digest:
        # Another recipe is no effect of the machine: then something other than the variation was changed.
        held = variation.expectation == "may differ" and run.recipe_sha256 == expected.recipe_sha256
        return replace(row, verdict="different", held=held, reason=row.reason or _what_differs(run, expected))
    if variation.facts and _same_facts(variation, run, expected):
        return replace(row, verdict="not tested", reason=NO_EFFECT)
    return replace(row, verdict="same", held=True)


def _what_differs(run: Run, expected: Run) -> str:
    if run.recipe_sha256 != expected.recipe_sha256:
        return "it trained another recipe"
    names = sorted(name for name in run.artifacts if run.artifacts[name] != expected.artifacts.get(name))
    return f"other bits in {', '.join(name.removeprefix('golden/') for name in names)}"


def _same_facts(variation: Variation, run: Run, expected: Run) -> bool:
    ours, golden = _facts(run), _facts(expected)
    return all(fact(ours, name) == fact(golden, name) for name in variation.facts)


def _facts(run: Run) -> dict[str, Any]:
    return {"execution": run.execution, "env": run.fingerprint}


def _planned(variation: Variation) -> Row:
    return Row(variation.name, variation.factor, variation.changed, variation.expectation, variation.against)


def _count(rows: Sequence[Row], verdict: str) -> int:
    return sum(row.verdict == verdict for row in rows)


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
