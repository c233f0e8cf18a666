"""A study's rows, what follows from them, and the file that holds both."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from samebits.errors import RecordError
from samebits.recipe.settings import STOCK
from samebits.record.files import read_object
from samebits.record.manifest import require_keys
from samebits.report.matrix import NOT_RUN
from samebits.study.variation import GOLDEN_RUNS

STUDY_FILE = "study.json"
EXIT_CODES = {"held": 0, "broken": 1, "undecided": 2}
VERDICTS = ("golden", "same", "different", "not tested", "undecided")


@dataclass(frozen=True)
class Row:
    """One run of the study: what was changed, expected and seen.

    Args:
        profile: numerics profile that was trained.
        verdict: one of VERDICTS.
        held: whether the expectation held; None where that was not tested or could not be told.
        parts: factor and name of each change that the run is together; none where it is one.
        unseen: names of the changes of which the run's own record shows nothing.
    """

    profile: str
    run: str
    factor: str
    changed: str
    expectation: str
    against: str
    verdict: str = "undecided"
    held: bool | None = None
    reason: str = NOT_RUN
    golden_digest: str | None = None
    parts: tuple[tuple[str, str], ...] = ()
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Culprit:
    """What makes a run differ, minimised.

    Args:
        run: in which the difference was seen first.
        changes: names of the variations that make it; none where it came with nothing changed.
        shown_by: the run with these changes alone; None where it did not show again.
        against: the run that it differs from.
    """

    run: str
    changes: tuple[str, ...]
    shown_by: str | None
    against: str

    def next_step(self, runs: Path) -> str | None:
        """Return the command that finds where the bits part; None where they did not part again."""
        if self.shown_by is None:
            return None
        return f"samebits bisect {shlex.join(str(runs / name) for name in (self.against, self.shown_by))}"

    @property
    def sentence(self) -> str:
        """Return what is to blame, in one sentence."""
        if self.shown_by is None:
            return f"{self.run} differed, and not again with the same changes: the bits change by chance"
        if not self.changes:
            return f"{self.run} differs with nothing changed: no factor is needed"
        alone = "alone changes" if len(self.changes) == 1 else "change, only together,"
        return f"{' and '.join(self.changes)} {alone} the bits"


@dataclass
class Experiment:
    """The rows of a study or of `samebits vary` so far, and what follows from them.

    Args:
        command: makes it again.
        require_all: what was not tested leaves it undecided.
        unbroken: verdict where stock was varied and nothing broke it.
        pairs: of values of two factors: how many stood together in a run that shows both, and how many there are.
        factors: in the order in which they are told; as they come where left out.
    """

    command: str
    require_all: bool = False
    is_complete: bool = False
    rows: list[Row] = field(default_factory=list)
    unbroken: str = "broken"
    culprits: list[Culprit] = field(default_factory=list)
    pairs: tuple[int, int] | None = None
    factors: tuple[str, ...] = ()

    @property
    def golden_digest(self) -> str | None:
        """The golden digest of the first side; None where it has no complete golden run."""
        golden = next(iter(self._golden_rows()), None)
        return golden.golden_digest if golden is not None and golden.verdict == "golden" else None

    @property
    def findings(self) -> list[str]:
        """Return a sentence for every expectation that did not hold or could not be judged."""
        found = [f"{row.run}: the expectation `{row.expectation}` did not hold: {row.reason}" for row in self._broken()]
        if self._nothing_varied():
            found.append("No machine factor changed the bits of stock: the variations did not vary anything.")
        found += [culprit.sentence for culprit in self.culprits]
        if self.pairs is not None and self.pairs[0] < self.pairs[1]:
            found.append(f"{self.pairs[0]} of {self.pairs[1]} pairs of values stood together in a run that shows both.")
        found += [f"{row.run} could not be judged: {row.reason}" for row in self.rows if row.verdict == "undecided"]
        if (baseline := self._missing_baseline()) is not None:
            found.append(f"stock, the baseline that must break, was not tested: {baseline.reason}.")
        if self.require_all:
            found += [f"{row.run} was not tested: {row.reason}" for row in self._untested()]
        return found

    @property
    def verdict(self) -> str:
        """Return `broken` if an expectation did not hold, else `undecided` if one could not be judged, else `held`."""
        if self._broken():
            return "broken"
        if self._nothing_varied():
            return self.unbroken
        undecided = not self.is_complete or any(row.verdict == "undecided" for row in self.rows)
        return "undecided" if undecided or (self.require_all and self._untested()) else "held"

    @property
    def sentence(self) -> str:
        """Return one sentence of counts: golden digests by profile, and what was not seen."""
        parts: list[str] = []
        for row in self._golden_rows():
            counted = self.count(row.profile)
            noun = "" if parts else " golden digest" if counted[0] == 1 else " golden digests"
            runs = "" if parts else " run" if counted[1] == 1 else " runs"
            told = f"{counted[0]}{noun} in {counted[1]}{runs}"
            parts.append(f"{row.profile}: {'not tested' if row.verdict == 'not tested' else told}")
        told_apart = self._missing_baseline() is not None
        rows = [row for row in self.rows if not (told_apart and row.profile == STOCK)]
        unseen = [
            f"{count} {verdict}"
            for verdict in ("not tested", "undecided")
            if (count := sum(row.verdict == verdict for row in rows))
        ]
        return "; ".join(filter(None, [*parts, ", ".join(unseen)])) + "."

    def count(self, profile: str) -> tuple[int, int]:
        """Return how many golden digests the runs of a profile have, and how many of them have one."""
        digests = [row.golden_digest for row in self.rows if row.profile == profile and row.golden_digest]
        return len(set(digests)), len(digests)

    def document(self) -> dict[str, Any]:
        """Return what study.json holds."""
        return {
            "command": self.command,
            "is_complete": self.is_complete,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "findings": self.findings,
            "culprits": [asdict(culprit) for culprit in self.culprits],
            "pairs": self.pairs,
            "factors": self.factors,
            "rows": [asdict(row) for row in self.rows],
        }

    def _golden(self, profile: str) -> Row | None:
        return next((row for row in self.rows if row.run == GOLDEN_RUNS[profile]), None)

    def _golden_rows(self) -> list[Row]:
        return [row for profile in GOLDEN_RUNS if (row := self._golden(profile)) is not None]

    def _missing_baseline(self) -> Row | None:
        row = self._golden(STOCK)
        return row if row is not None and row.verdict == "not tested" else None

    def _broken(self) -> list[Row]:
        return [row for row in self.rows if row.held is False]

    def _untested(self) -> list[Row]:
        return [row for row in self.rows if row.verdict == "not tested"]

    def _nothing_varied(self) -> bool:
        """Whether machine factors were varied to the end under stock and not one of them showed."""
        machine = [row for row in self.rows if row.expectation == "may differ"]
        if not machine or self._missing_baseline() is not None:
            return False
        return all(row.verdict in ("same", "not tested") for row in machine)


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
    if not all(isinstance(document[key], list) for key in ("findings", "culprits")):
        raise RecordError("findings and culprits must be lists", where=where)
    if not isinstance(document["rows"], list) or not all(isinstance(row, dict) for row in document["rows"]):
        raise RecordError("rows must be a list of objects", where=where)
    _check_rows(document["rows"], where)
    if document["verdict"] not in EXIT_CODES:
        raise RecordError("the verdict must be held, broken or undecided", got=repr(document["verdict"]), where=where)
    return document


def _check_rows(rows: Sequence[dict[str, Any]], where: str) -> None:
    for row in rows:
        require_keys(row, set(Row.__dataclass_fields__), where)
        if row["verdict"] not in VERDICTS:
            raise RecordError("a verdict must be one of a study's", got=repr(row["verdict"]), where=where)
        if row["profile"] not in GOLDEN_RUNS:
            raise RecordError(f"a profile must be {' or '.join(GOLDEN_RUNS)}", got=repr(row["profile"]), where=where)
