"""Where two runs part, or one run and this machine: the step, the operation, the element, and the most likely cause.

Binary search over the chain of steps; then that one step, executed again on this machine; then its operations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from samebits.errors import RecordError, SamebitsError
from samebits.record.layout import RunFolder
from samebits.record.manifest import golden_checksums
from samebits.verify.asked import recipe_changes
from samebits.verify.causes import Cause, Evidence, judge
from samebits.verify.difference import Difference, Verdict, json_safe
from samebits.verify.lines import compare_lines
from samebits.verify.operations import OperationDifference
from samebits.verify.plain_files import read_plain
from samebits.verify.ran import observed_changes
from samebits.verify.reruns import Rerun, Rerunner, execution_of, follow, rerun_step
from samebits.verify.sides import Side, read_side
from samebits.verify.steps import FirstStep, describe_step, first_different_step, sample_changes
from samebits.verify.traced import first_operation

HERE = "this machine"
UNSEEN = "only the step's own digests tell where it began"


@dataclass(frozen=True)
class AtHand:
    """What of both sides lies on this machine, beside their run folders.

    Args:
        bases: the weight files of both bases; empty where they are one base, or one of them is not here.
        data: both training files, likewise.
        operations: folders with operation traces, by the side's name, beside those in the run folders.
    """

    bases: tuple[Sequence[Path], Sequence[Path]] | None = None
    data: tuple[Path, Path] | None = None
    operations: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Bisection:
    """What a bisection found.

    Args:
        first: the first step that differs; None where the traces agree, or one of them is not there.
        file: the path below B's run folder (or A's) where a difference lies outside every step, with its note.
        operation: the first operation of the step; None where it was not found, for which `operation_note` says why.
        cause: None where the sides are the same.
        remarks: sentences that a reader of the finding must know.
    """

    a: Side
    b: Side
    verdict: Verdict
    first: FirstStep | None = None
    file: str = ""
    samples: tuple[int, ...] | None = None
    operation: OperationDifference | None = None
    operation_note: str = ""
    cause: Cause | None = None
    reruns: tuple[Rerun, ...] = ()
    remarks: tuple[str, ...] = ()

    def as_document(self) -> dict[str, Any]:
        """Return everything as JSON values, digests whole."""
        return {
            "verdict": self.verdict,
            "a": HERE if self.a.path is None else str(self.a.path),
            "b": HERE if self.b.path is None else str(self.b.path),
            "place": self._place(),
            "cause": None if self.cause is None else self.cause.as_document(),
            "reruns": [json_safe({**vars(rerun), "repeats": rerun.repeats}) for rerun in self.reruns],
            "remarks": list(self.remarks),
        }

    def _place(self) -> dict[str, Any]:
        first, operation = self.first, self.operation
        elements = operation.elements if operation is not None else None
        return {
            "file": self.file or None,
            "step": None if first is None else first.step,
            "field": None if first is None else first.field,
            "parameters_step": None if first is None else first.parameters_step,
            "fields": [] if first is None else [found.as_document() for found in first.fields],
            "samples": None if self.samples is None else list(self.samples),
            "operation": None if operation is None else _operation_document(operation),
            "elements": None if elements is None else elements.as_document(),
            "note": self.operation_note,
        }


def bisect(a: Path, b: Path | None, rerunner: Rerunner | None, at_hand: AtHand | None = None) -> Bisection:
    """Find where two runs part; `b` left out, one run and this machine.

    Args:
        a: a run folder.
        b: another.
        rerunner: executes steps again; None where nothing is to be executed.
    Raises:
        RecordError: a path is no run folder.
    """
    ours = read_side("A", a)
    remarks: list[str] = []
    theirs = read_side("B", b) if b is not None else _this_machine(ours, rerunner, remarks)
    evidence = _compare(ours, theirs, at_hand or AtHand(), remarks)
    file = _place_outside(evidence)
    if not file and evidence.first is None:
        return _agreeing(evidence, remarks, is_here=b is None)
    operation, operation_note = None, UNSEEN
    is_recorded = not any(fault.kind == "edited" for side in (ours, theirs) for fault in side.faults)
    if rerunner is not None and evidence.first is not None and is_recorded:
        evidence = replace(evidence, reruns=_rerun_both(rerunner, evidence, remarks))
    if evidence.first is not None and is_recorded:
        operation, operation_note = first_operation(evidence, rerunner, (at_hand or AtHand()).operations)
        evidence = replace(evidence, operation=operation)
    if evidence.first is not None and evidence.observed and rerunner is not None and b is not None:
        evidence = replace(evidence, observed=_observed(evidence, rerunner)[0])
    return _found(evidence, file, operation_note, remarks)


def _found(evidence: Evidence, file: str, operation_note: str, remarks: list[str]) -> Bisection:
    cause = judge(evidence)
    changes = evidence.samples
    samples = None if changes is None else changes.changed or changes.gradients
    is_placed = evidence.first is not None or bool(file and cause.kind != "undecided")
    return Bisection(
        *(evidence.a, evidence.b, "different" if is_placed else "undecided", evidence.first, file, samples),
        *(evidence.operation, operation_note, cause, evidence.reruns, tuple(remarks)),
    )


def _this_machine(ours: Side, rerunner: Rerunner | None, remarks: list[str]) -> Side:
    """Train the run again here, as far as it stays the same; that is the other side."""
    if rerunner is None or ours.recipe is None or not ours.trace:
        raise RecordError("one run alone must have a recipe and a trace to train again", where=str(ours.path))
    try:
        trace = follow(rerunner, ours)
    except SamebitsError as error:
        remarks.append(f"not executed here: {error}")
        return Side("B", None, recipe=ours.recipe)
    return Side("B", None, recipe=ours.recipe, trace=trace, observed=rerunner.facts(ours))


def _compare(ours: Side, theirs: Side, at_hand: AtHand, remarks: list[str]) -> Evidence:
    first = first_different_step(ours.trace, theirs.trace)
    if first is None:
        first = _at_broken_line(ours, theirs)
    recipe = None
    if ours.recipe is not None and theirs.recipe is not None:
        recipe = recipe_changes(ours.recipe, theirs.recipe)
    step = None if first is None or first.step > min(len(ours.trace), len(theirs.trace)) else first.step
    samples = sample_changes(ours.trace, theirs.trace, step) if ours.trace and theirs.trace else None
    for side in (ours, theirs):
        told = (fault for fault in side.faults if fault.kind != "edited" and side.is_finished)
        remarks += [f"{side.name}: {fault.where}: {fault.note}" for fault in told]
        if side.path is not None and not side.is_finished:
            remarks.append(f"{side.name} was not finished: {len(side.trace)} steps are known of it")
    evidence = Evidence(ours, theirs, first, recipe, samples)
    rows, is_observed = _observed(evidence, None)
    return replace(
        evidence, observed=rows, is_observed=is_observed, base=_bases(at_hand, remarks), data=_data(at_hand, remarks)
    )


def _observed(evidence: Evidence, rerunner: Rerunner | None) -> Any:
    here = None if rerunner is None else rerunner.facts(evidence.a)
    return observed_changes(evidence.a.observed, evidence.b.observed, here)


def _at_broken_line(ours: Side, theirs: Side) -> FirstStep | None:
    """The line that breaks a chain, held against the other side's line of that step."""
    for side, other in ((ours, theirs), (theirs, ours)):
        if side.broken_line is not None and len(other.trace) > len(side.trace):
            place = len(side.trace)
            lines = (side.broken_line, other.trace[place]) if side is ours else (other.trace[place], side.broken_line)
            # What an edited line holds says nothing of how the step went.
            return replace(describe_step(*lines, place + 1), meaning="")
    return None


def _place_outside(evidence: Evidence) -> str:
    """Return the file that a difference lies in where no step tells it."""
    for kind in ("edited", "checkpoint", "unreadable"):
        for side in (evidence.b, evidence.a):
            for fault in side.faults:
                if fault.kind == kind and (kind != "checkpoint" or not side.is_finished):
                    return f"{fault.where} of {side.name}"
    if evidence.first is not None or evidence.a.path is None or evidence.b.path is None:
        return ""
    try:
        ours, theirs = (golden_checksums(RunFolder(path)) for path in (evidence.a.path, evidence.b.path))
    except RecordError:
        return ""
    differing = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    return ", ".join(differing)


def _agreeing(evidence: Evidence, remarks: list[str], *, is_here: bool) -> Bisection:
    n_steps = min(len(evidence.a.trace), len(evidence.b.trace))
    if is_here and n_steps < len(evidence.a.trace):
        cause = Cause("undecided", "", "this machine could not train the run again")
        return Bisection(evidence.a, evidence.b, "undecided", cause=cause, remarks=tuple(remarks))
    if is_here:
        remarks.append(f"this machine gave all {n_steps} steps again, bit for bit")
    is_known = bool(n_steps) and evidence.a.is_finished and evidence.b.is_finished
    return Bisection(evidence.a, evidence.b, "same" if is_known else "undecided", remarks=tuple(remarks))


def _rerun_both(rerunner: Rerunner, evidence: Evidence, remarks: list[str]) -> tuple[Rerun, ...]:
    """Execute the step again under each side's recipe and execution; once for both where they are one."""
    ours, theirs = evidence.a, evidence.b
    assert evidence.first is not None, "there is a step to execute"
    step = evidence.first.step
    if theirs.path is None:
        rerun = rerun_step(rerunner, ours, step, sides=("A",), helper=None)
        reruns = [replace(rerun, records=(theirs.trace[step - 1], *rerun.records))]
    else:
        is_one_recipe = evidence.recipe == ()
        helpers = (theirs, ours) if is_one_recipe else (None, None)
        if is_one_recipe and execution_of(ours) == execution_of(theirs):
            reruns = [rerun_step(rerunner, ours, step, sides=("A", "B"), helper=theirs)]
        else:
            pairs = zip((ours, theirs), helpers, strict=True)
            reruns = [
                rerun_step(rerunner, side, step, sides=(side.name,), helper=helper)
                for side, helper in pairs
                if side.recipe is not None and len(side.trace) >= step
            ]
    for rerun in reruns:
        names = " and ".join(rerun.sides)
        if rerun.refused is not None:
            remarks.append(f"step {step} of {names} was not executed here: {rerun.refused}")
        if rerun.left_at is not None:
            remarks.append(f"this machine left the trace of {rerun.sides[0]} at step {rerun.left_at} already")
    return tuple(reruns)


def _bases(at_hand: AtHand, remarks: list[str]) -> Difference | None:
    """Hold two bases against each other, file by file; one file each is the common case."""
    if at_hand.bases is None:
        return None
    from samebits.verify.tensors import compare_tensors

    ours, theirs = at_hand.bases
    if [path.name for path in ours] != [path.name for path in theirs]:
        remarks.append("the bases lie in other files each: their tensors were not compared")
        return None
    try:
        pairs = zip(ours, theirs, strict=True)
        return next((found for a, b in pairs if (found := compare_tensors(a, b, a.name)) is not None), None)
    except (RecordError, OSError) as error:
        remarks.append(f"the bases cannot be compared: {error}")
        return None


def _data(at_hand: AtHand, remarks: list[str]) -> Difference | None:
    if at_hand.data is None:
        return None
    try:
        ours, theirs = map(read_plain, at_hand.data)
    except RecordError as error:
        remarks.append(f"the data files cannot be compared: {error}")
        return None
    return compare_lines(ours, theirs, at_hand.data[0].name, is_json=True)


def _operation_document(found: OperationDifference) -> dict[str, Any]:
    sides = (("a", found.golden), ("b", found.candidate))
    outputs = {name: None if output is None else json_safe(vars(output)) for name, output in sides}
    return {"kind": found.kind, **outputs, "n_same": found.n_same, "n_different": found.n_different}
