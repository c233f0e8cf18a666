"""From evidence to the most likely cause of a difference, or to "undecided" where it does not separate causes.

The rules are asked in order, the surest first: a record that no training writes, a host that does not repeat itself,
what was asked for, where and how it ran. A rule that finds two causes which the evidence cannot tell apart says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from samebits.verify.asked import RecipeChange
from samebits.verify.difference import Difference
from samebits.verify.operations import OperationDifference
from samebits.verify.ran import WORDS, Observed, excluded, reaches_portable, told
from samebits.verify.reruns import Rerun
from samebits.verify.sides import Side
from samebits.verify.steps import FirstStep, SampleChanges, content

Kind = Literal[
    "edited record", "damaged checkpoint", "data", "recipe", "base", "code", "library", "machine", "execution",
    "hardware", "undecided",
]  # fmt: skip
STOCK = "stock"
_MAX_NAMED = 5


@dataclass(frozen=True)
class Evidence:
    """All that is known of two sides.

    Args:
        first: the first step that differs; None where the traces agree as far as both go.
        recipe: keys in which the recipes differ; None where one of them cannot be read.
        samples: which samples became other tokens; None without two traces.
        observed: fields of the machines that differ and can reach the bits.
        is_observed: both sides told of their machines.
        base: the two bases, tensor by tensor, where both are at hand; None otherwise, or where they are the same.
        data: the two data files, line by line, likewise.
        reruns: what this machine made of the step.
        operation: the first operation of the step that differs.
    """

    a: Side
    b: Side
    first: FirstStep | None = None
    recipe: tuple[RecipeChange, ...] | None = ()
    samples: SampleChanges | None = None
    observed: tuple[Observed, ...] = ()
    is_observed: bool = False
    base: Difference | None = None
    data: Difference | None = None
    reruns: tuple[Rerun, ...] = ()
    operation: OperationDifference | None = None

    @property
    def is_stock(self) -> bool:
        """Say whether either run is on PyTorch's own kernels."""
        return any((side.recipe or {}).get("numerics") == STOCK for side in (self.a, self.b))

    def rerun_of(self, side: Side) -> Rerun | None:
        """Return what this machine made of a side's recipe and execution."""
        return next((rerun for rerun in self.reruns if side.name in rerun.sides and rerun.records), None)

    def agreed(self, side: Side) -> bool | None:
        """Say whether this machine gave a side's own line of the differing step; None where it was not executed."""
        rerun = self.rerun_of(side)
        if rerun is None or self.first is None or len(side.trace) < self.first.step:
            return None
        return rerun.gave(side.trace[self.first.step - 1])


@dataclass(frozen=True)
class Cause:
    """The most likely cause.

    Args:
        kind: the sort of cause, `undecided` where the evidence does not separate several.
        name: which sample, key, library or field.
        sentence: the finding, for a person.
        evidence: what was seen, the strongest first.
        others: what differs besides, or could be the cause as well.
        next_steps: what to do now.
    """

    kind: Kind
    name: str
    sentence: str
    evidence: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()

    def as_document(self) -> dict[str, Any]:
        """Return the cause as JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}


def judge(evidence: Evidence) -> Cause:
    """Return the most likely cause of a difference."""
    rules: Sequence[Callable[[Evidence], Cause | None]] = (
        _edited, _damaged, _contradiction, _asked_otherwise, _no_repeat, _ran_otherwise,
    )  # fmt: skip
    for rule in rules:
        if (cause := rule(evidence)) is not None:
            return cause
    return Cause("undecided", "", "nothing that was recorded tells the two sides apart", _experiments(evidence))


def _edited(evidence: Evidence) -> Cause | None:
    """A record that does not fit itself was not written by any training."""
    for side in (evidence.a, evidence.b):
        for fault in side.faults:
            if fault.kind == "edited":
                sentence = f"{fault.where} of {side.name} was changed after the run"
                steps = (f"fetch {fault.where} of {side.name} again from where the run was made",)
                return Cause(
                    "edited record", fault.where, sentence, (fault.note, *_one_field(evidence, side)), (), steps
                )
    return None


def _one_field(evidence: Evidence, side: Side) -> tuple[str, ...]:
    """Where the other side's value makes the line fit again, that one value was edited."""
    from samebits.record.trace import record_sha256

    other = evidence.b if side is evidence.a else evidence.a
    line, place = side.broken_line, len(side.trace)
    if line is None or place >= len(other.trace):
        return ()
    for key, value in other.trace[place].items():
        if key not in ("sha256", "previous_sha256") and line.get(key) != value:
            try:
                is_whole = record_sha256({**line, key: value}) == line.get("sha256")
            except (TypeError, ValueError):
                return ()
            if is_whole:
                return (f"with {other.name}'s {key} the line has the digest that it states: {key} alone was edited",)
    return ()


def _damaged(evidence: Evidence) -> Cause | None:
    """A damaged state is the cause where a run went no further for it; beside golden files it is only told."""
    for side in (evidence.a, evidence.b):
        for fault in side.faults:
            if fault.kind == "checkpoint" and not side.is_finished:
                sentence = f"{fault.where} of {side.name} is damaged: the run cannot go on from it"
                step = f"delete {fault.where} of {side.name} and resume from the checkpoint before it, or train again"
                return Cause("damaged checkpoint", fault.where, sentence, (fault.note,), (), (step,))
    return None


def _contradiction(evidence: Evidence) -> Cause | None:
    """Other parameters after one step and the same numbers in the next: no training gives that."""
    first, a, b = evidence.first, evidence.a.trace, evidence.b.trace
    if first is None or evidence.recipe != () or first.step >= min(len(a), len(b)):
        return None
    moved = ("parameters_sha256", "optimizer_sha256")
    line, following = (a[first.step - 1], b[first.step - 1]), (a[first.step], b[first.step])
    if all(line[0][key] == line[1][key] for key in moved) or content(following[0]) != content(following[1]):
        return None
    sides = [side for side in (evidence.a, evidence.b) if evidence.agreed(side) is False]
    whose = f" of {sides[0].name}" if len(sides) == 1 else ""
    seen = (f"the parameters differ after step {first.step}, and step {first.step + 1} gave the same numbers",)
    sentence = f"line {first.step} of the trace{whose} was changed after the run, its chain made anew"
    return Cause("edited record", f"golden/trace.jsonl, line {first.step}", sentence, seen + _experiments(evidence))


def _asked_otherwise(evidence: Evidence) -> Cause | None:
    if not evidence.recipe:
        return None
    profiles = next((change for change in evidence.recipe if change.path == "numerics"), None)
    if profiles is not None:
        sentence = f"the runs are of two profiles, {profiles.a} and {profiles.b}: no bits of theirs need agree"
        return Cause("recipe", "numerics", sentence, (_recipe_row(profiles), *_experiments(evidence)))
    field = evidence.first.field if evidence.first is not None else ""
    causes = [change for change in evidence.recipe if change.group != "derived"]
    able = [change for change in causes if change.shows_in(field)] or ([] if evidence.first else causes)
    groups = {change.group for change in able}
    others = tuple(f"{change.name} differs as well" for change in causes if change not in able)[:_MAX_NAMED]
    if len(groups) != 1:
        listed = tuple(_recipe_row(change) for change in (able or causes))[:_MAX_NAMED]
        sentence = "the recipes differ in several ways, each of which would show here" if able else (
            "the recipes differ in keys that would not show here first"
        )  # fmt: skip
        step = "make the recipes the same but for one of these, then compare again"
        return Cause("undecided", "", sentence, listed + _experiments(evidence), others, (step,))
    (group,) = groups
    seen = tuple(_recipe_row(change) for change in able)[:_MAX_NAMED]
    if group == "data":
        return _about_data(evidence, seen, others)
    if group == "base":
        return _about_base(evidence, able, seen, others)
    name = ", ".join(change.name for change in able)
    if group == "code":
        sentence = "the same file, settings and tokenizer gave other samples: the code that reads them is another"
        if any(change.path == "numerics_version" for change in able):
            sentence = "the runs are of two versions of the arithmetic"
        return Cause("code", name, sentence, seen + _experiments(evidence), others)
    sentence = f"the recipes differ in {name}"
    step = "train both with one recipe, then compare again"
    return Cause("recipe", name, sentence, seen + _experiments(evidence), others, (step,))


def _recipe_row(change: RecipeChange) -> str:
    note = f" ({change.note})" if change.note else ""
    return f"{change.name}: A {_short(change.a)}, B {_short(change.b)}{note}"


def _about_data(evidence: Evidence, seen: tuple[str, ...], others: tuple[str, ...]) -> Cause:
    samples = evidence.samples
    found: list[str] = []
    name = ""
    if samples is not None and samples.exchanged:
        one, other = samples.exchanged[0]
        name = f"samples {one} and {other}"
        found.append(f"{name} of the training split have each other's tokens; {samples.n_common} were compared")
    elif samples is not None and samples.changed:
        shown = ", ".join(map(str, samples.changed[:_MAX_NAMED]))
        name = f"sample{'s' if len(samples.changed) > 1 else ''} {shown}"
        found.append(f"{len(samples.changed)} of {samples.n_common} samples that both traces tell of have other tokens")
    if evidence.data is not None:
        lines = " to ".join(str(child.where) for child in evidence.data.children[:1])
        found.insert(0, f"the data files: {evidence.data.note}" + (f" ({lines})" if lines else ""))
        name = name or lines
    steps = () if evidence.data is not None else ("name both files with --data-a and --data-b to see the text itself",)
    sentence = f"the data differ{f' in {name}' if name else ''}"
    return Cause("data", name, sentence, (*found, *seen, *_experiments(evidence)), others, steps)


def _about_base(evidence: Evidence, able: list[RecipeChange], seen: tuple[str, ...], others: tuple[str, ...]) -> Cause:
    name = ", ".join(change.name for change in able)
    found: tuple[str, ...] = ()
    steps: tuple[str, ...] = ("name both bases with --base-a and --base-b to see the tensor itself",)
    if evidence.base is not None:
        first = evidence.base.children[0] if evidence.base.children else evidence.base
        name = first.where
        values = f": A {first.golden}, B {first.candidate}" if first.golden is not None else ""
        found, steps = (f"{evidence.base.note}; {first.where}: {first.note}{values}",), ()
    return Cause(
        "base", name, f"the base models differ in {name}", found + seen + _experiments(evidence), others, steps
    )


def _no_repeat(evidence: Evidence) -> Cause | None:
    rerun = next((rerun for rerun in evidence.reruns if rerun.repeats is False), None)
    if rerun is None:
        return None
    seen = f"step {rerun.step}, executed {len(rerun.records)} times here from one state, gave other bits each time"
    if len({record["sha256"] for record in rerun.records}) < len(rerun.records):
        seen = f"step {rerun.step}, executed {len(rerun.records)} times here from one state, gave two results"
    if evidence.is_stock and rerun.execution.get("n_threads") != 1:
        sentence = "this host does not repeat itself: a faulty host, or a stock kernel that follows the threads' race"
        step = "repeat with one thread (--threads 1): a sound host repeats itself then"
        return Cause("undecided", "", sentence, (seen,), ("hardware", "execution"), (step,))
    sentence = "this host does not repeat itself: a fault of its processor or memory is the most likely cause"
    step = "test this host's memory and processor, and bisect on another host"
    return Cause("hardware", "this host", sentence, (seen,), (), (step,))


def _ran_otherwise(evidence: Evidence) -> Cause | None:
    """The recipes are the same: what ran, and on what."""
    if evidence.first is None or evidence.recipe is None:
        return None
    if (confirmed := _confirmed_execution(evidence)) is not None:
        return confirmed
    field = evidence.first.field
    rows = [row for row in evidence.observed if evidence.is_stock or reaches_portable(row, field)]
    ignored = [row for row in evidence.observed if row not in rows]
    ruled_out = _ruled_out(evidence, rows)
    left = [row for row in rows if row not in ruled_out]
    groups = list(dict.fromkeys(row.group for row in left))
    seen = tuple(f"{WORDS[group]} differ{'' if group == 'library' else 's'}: "
                 f"{told([row for row in left if row.group == group])}" for group in groups)  # fmt: skip
    notes = tuple([f"ruled out here: {told(ruled_out)}"] if ruled_out else ())
    if ignored:
        notes += (f"{told(ignored)} differ too, which by the arithmetic's specification reaches no bit",)
    if len(groups) == 1:
        kind: Any = groups[0]
        name = ", ".join(row.name for row in left[:_MAX_NAMED])
        verb = "differ" if kind == "library" else "differs"
        sentence = f"{WORDS[groups[0]]} {verb} ({name}), and nothing else that could reach these bits"
        return Cause(kind, name, sentence, seen + _experiments(evidence) + notes)
    if groups:
        sentence = "several things that can move these bits differ between the machines"
        names = tuple(WORDS[group] for group in groups)
        step = f"make {names[0]} the same, train again, and bisect again"
        return Cause("undecided", "", sentence, seen + _experiments(evidence) + notes, names, (step,))
    return _nothing_left(evidence, notes)


def _confirmed_execution(evidence: Evidence) -> Cause | None:
    """This machine gave A's bits under A's execution and B's under B's: no more is needed."""
    if evidence.recipe or not (evidence.agreed(evidence.a) and evidence.agreed(evidence.b)):
        return None
    ours, theirs = evidence.rerun_of(evidence.a), evidence.rerun_of(evidence.b)
    if ours is None or theirs is None or ours is theirs:
        return None
    keys = [key for key in ("isa", "n_threads") if ours.execution.get(key) != theirs.execution.get(key)]
    name = ", ".join(keys)
    values = ", ".join(f"{key} {ours.execution.get(key)} for A and {theirs.execution.get(key)} for B" for key in keys)
    seen = (f"this machine gave A's bits and B's bits, each {len(ours.records)} times, with {values}",)
    sentence = f"the execution decides these bits: {name}"
    step = "make it part of what is fixed, or train on the portable arithmetic, whose bits do not depend on it"
    return Cause("execution", name, sentence, seen, (), (step,) if evidence.is_stock else ())


def _ruled_out(evidence: Evidence, rows: list[Observed]) -> list[Observed]:
    agreed = {side.name: evidence.agreed(side) for side in (evidence.a, evidence.b)}
    out: list[Observed] = []
    for name, other in (("A", "B"), ("B", "A")):
        if agreed[name] and agreed[other] is False:
            out += excluded([row for row in rows if row.group != "execution"], side_with=name)
            # Under the other side's execution too, it gave the bits of this one.
            out += [row for row in rows if row.field in ("execution.isa", "execution.n_threads")]
    return out


def _nothing_left(evidence: Evidence, notes: tuple[str, ...]) -> Cause:
    hosts = [side.observed.get("metadata", {}).get("host") for side in (evidence.a, evidence.b)]
    seen = _experiments(evidence) + notes
    if not evidence.is_observed:
        sentence = "the recipes agree, and the machines were not recorded"
        return Cause("undecided", "", sentence, seen, (), ("bisect run folders that hold observed/",))
    sentence = "the recipes agree, and nothing that was recorded of the machines can explain it"
    others = ("a fault of one host when the run was made", "a change of code that no record tells")
    if hosts[0] is not None and hosts[0] == hosts[1]:
        seen += ("both runs name one host",)
    step = "train the side again that this machine does not agree with, on its own host, and bisect the two"
    return Cause("undecided", "", sentence, seen, others, (step,))


def _experiments(evidence: Evidence) -> tuple[str, ...]:
    """Return what the re-executions showed, one sentence for each side."""
    sentences = []
    for side in (evidence.a, evidence.b):
        agreed, rerun = evidence.agreed(side), evidence.rerun_of(side)
        if agreed is None or rerun is None:
            continue
        times = f"{len(rerun.records)} times" if rerun.repeats else "once"
        verb = "gave" if agreed else "did not give"
        sentences.append(f"with {side.name}'s recipe and execution this machine {verb} {side.name}'s bits ({times})")
    return tuple(sentences)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text[:12] if len(text) == 64 else text if len(text) <= 60 else f"{text[:57]}..."
