"""Executing recorded steps again, each held against its line of the trace."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from samebits.errors import NonFiniteError
from samebits.recipe.settings import STOCK
from samebits.record.documents import write_golden
from samebits.record.layout import RunFolder
from samebits.verify.compare import compare
from samebits.verify.difference import Comparison, Difference
from samebits.verify.recorded import Recorded
from samebits.verify.session import Session
from samebits.verify.spots import Segment, read_start
from samebits.verify.trace import STAGES, compare_step

_SHOWN_SAMPLES = 8


class Listener:
    """Told how far a verification got; this one shows nothing."""

    def on_start(self, n_steps: int) -> None:
        """So many steps will be executed again."""

    def on_step(self) -> None:
        """One of them is done."""

    def on_finish(self) -> None:
        """All are done, or the verification ended earlier."""


class Reexecution:
    """The steps of one recorded run that are executed again, and what was seen.

    Args:
        recorded: what to hold them against.
        session: before its first step.
        keep_going: go on after a step that differs.
        listener: told about every step.

    `executed` holds the first and last step of each part, as far as it got; `differences` one for each step that
    differs; `comparison` the golden files, where the last step was reached.
    """

    def __init__(self, recorded: Recorded, session: Session, *, keep_going: bool, listener: Listener) -> None:
        self.recorded, self.session, self.keep_going, self.listener = recorded, session, keep_going, listener
        self.executed: list[tuple[int, int]] = []
        self.differences: list[Difference] = []
        self.comparison: Comparison | None = None
        self._is_restored = False

    def run(self, segments: Sequence[Segment], out: Path | None) -> None:
        """Execute segments in ascending order; after the last step of the run, compare the golden files as well.

        Args:
            out: where to keep the rebuilt run; a temporary folder where it is None.
        Raises:
            SamebitsError: a checkpoint that cannot be gone on from, or a disk that refuses what is rebuilt.
        """
        self.listener.on_start(sum(segment.n_steps for segment in segments))
        for segment in segments:
            if segment.start is not None and self.session.step != segment.first - 1:
                self.session.restore(read_start(self.recorded, segment), str(segment.start))
                self._is_restored = True
            self._execute(segment)
            if self._is_over:
                return
        if self.session.step == self.session.n_steps:
            self._compare_golden(out)

    @property
    def _is_over(self) -> bool:
        return bool(self.differences) and not self.keep_going

    def _execute(self, segment: Segment) -> None:
        self.executed.append((segment.first, segment.first - 1))
        for number in range(segment.first, segment.last + 1):
            try:
                record = self.session.take_step()
            except NonFiniteError as error:
                note = f"the recorded step is finite, and the rebuilt one is not: {error}"
                self.differences.append(self._judged(Difference("step", f"step {number}", note=note)))
                # Nothing follows from such a state.
                self.keep_going = False
                return
            self.executed[-1] = (segment.first, number)
            self.listener.on_step()
            self._hold(record, self.recorded.trace[number - 1])
            if self._is_over:
                return

    def _hold(self, rebuilt: dict[str, Any], recorded: dict[str, Any]) -> None:
        if rebuilt["sha256"] == recorded["sha256"]:
            return
        step, why = compare_step(recorded, rebuilt)
        if not step.children and self.differences:
            # Only the chain differs: it hands on what an earlier step began.
            return
        field, words = next(
            ((field, words) for field, words, _ in STAGES if recorded[field] != rebuilt[field]), ("", "its digest")
        )
        samples = _samples(recorded, rebuilt, field)
        told = f" of sample{'s' if len(samples) > 1 else ''} {_listed(samples)}" if samples else ""
        if self.differences:
            why = "an earlier step differs already"
        facts = {"step": recorded["step"], "first_field": field, "samples": samples}
        self.differences.append(self._judged(replace(step, note=f"first {words}{told}; {why}", facts=facts)))

    def _judged(self, step: Difference) -> Difference:
        if not self._is_restored or self.recorded.recipe.get("numerics") != STOCK:
            return step
        note = f"{step.note}; the state of torch's generator came from a checkpoint, and no trace holds it"
        return replace(step, note=note, is_proven=False)

    def _compare_golden(self, out: Path | None) -> None:
        documents = self.session.golden_documents()
        with ExitStack() as stack:
            folder = out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="samebits-verify-")))
            write_golden(RunFolder(folder), **documents)
            comparison = compare(self.recorded.run.path, folder)
        if comparison.difference is not None and self._is_restored and _is_loss_alone(comparison.difference):
            note = "the sum of losses came from a checkpoint, which proves nothing: only a whole rebuild decides this"
            root = replace(comparison.difference, note=note, is_proven=False)
            comparison = replace(comparison, difference=root)
        self.comparison = replace(comparison, next_steps=())


def _samples(recorded: dict[str, Any], rebuilt: dict[str, Any], field: str) -> list[int]:
    """Return the samples of a step in whose own entries of a field two records differ."""
    if not isinstance(recorded.get(field), list) or not isinstance(rebuilt.get(field), list):
        return []
    if recorded["sample_ids"] != rebuilt["sample_ids"]:
        return []
    entries = zip(recorded["sample_ids"], recorded[field], rebuilt[field], strict=True)
    return [sample for sample, ours, theirs in entries if ours != theirs]


def _listed(samples: Sequence[int]) -> str:
    more = f" and {len(samples) - _SHOWN_SAMPLES} more" if len(samples) > _SHOWN_SAMPLES else ""
    return ", ".join(map(str, samples[:_SHOWN_SAMPLES])) + more


def _is_loss_alone(root: Difference) -> bool:
    """Say whether nothing differs but the mean loss of the training and what is computed from it."""
    return all(
        file.where == "results.json" and all(key.where.startswith("train_") for key in file.children) and file.children
        for file in root.children
    )
