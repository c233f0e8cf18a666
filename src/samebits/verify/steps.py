"""Two traces: the first step that differs, by binary search over the chain, and which samples differ in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from samebits.verify.difference import Difference
from samebits.verify.json_values import compare_json
from samebits.verify.trace import STAGES

Record = Mapping[str, Any]
# Digests of the line and of the one before: they tell that a step differs, not what of it does.
_CHAIN = ("sha256", "previous_sha256")


@dataclass(frozen=True)
class FirstStep:
    """Where two traces part.

    Args:
        step: the first that differs, from 1.
        field: the first of its fields in the order in which a step is computed; empty where only the chain differs.
        what: the field in words.
        meaning: what that says.
        fields: all fields that differ, each with both values.
        parameters_step: the first step after which the parameters differ; None where they never do.
        n_looked_at: lines that the search compared.
        n_steps: of both traces.
    """

    step: int
    field: str
    what: str
    meaning: str
    fields: tuple[Difference, ...]
    parameters_step: int | None = None
    n_looked_at: int = 0
    n_steps: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class SampleChanges:
    """Which samples became other tokens, as far as both traces tell.

    Args:
        changed: places in the training split whose tokens differ.
        exchanged: pairs of them, each of which has the other's tokens.
        gradients: samples of the first differing step whose own gradients differ; None where the engine told none.
        n_common: samples that both traces tell of.
    """

    changed: tuple[int, ...]
    exchanged: tuple[tuple[int, int], ...]
    gradients: tuple[int, ...] | None
    n_common: int


def first_different_step(a: Sequence[Record], b: Sequence[Record]) -> FirstStep | None:
    """Return the first step that differs in two traces whose chains hold; None where they agree as far as both go.

    A line holds the digest of the one before: two lines with one digest have all steps before them in common, so that
    the search halves the range with each line it looks at.
    """
    low, high, n_looked_at = 0, min(len(a), len(b)), 0
    while low < high:
        middle = (low + high) // 2
        n_looked_at += 1
        if a[middle]["sha256"] == b[middle]["sha256"]:
            low = middle + 1
        else:
            high = middle
    if low == min(len(a), len(b)):
        return None
    pairs = zip(a[low:], b[low:], strict=False)
    moved = next((int(ours["step"]) for ours, theirs in pairs if _has_moved(ours, theirs)), None)
    found = describe_step(a[low], b[low], low + 1)
    return replace(found, parameters_step=moved, n_looked_at=n_looked_at, n_steps=(len(a), len(b)))


def describe_step(a: Record, b: Record, step: int) -> FirstStep:
    """Return which fields of one step differ; a line may be one that no writer of ours wrote."""
    differences = {field: compare_json(a.get(field), b.get(field), field) for field, _, _ in STAGES}
    fields = tuple(difference for difference in differences.values() if difference is not None)
    nothing = ("", "the digests alone", "")
    field, what, meaning = next((stage for stage in STAGES if differences[stage[0]] is not None), nothing)
    return FirstStep(step, field, what, meaning, fields)


def _has_moved(a: Record, b: Record) -> bool:
    return bool(a["parameters_sha256"] != b["parameters_sha256"])


def content(record: Record) -> dict[str, Any]:
    """Return what a step gave, without its place in the chain."""
    return {key: value for key, value in record.items() if key not in _CHAIN}


def sample_changes(a: Sequence[Record], b: Sequence[Record], step: int | None) -> SampleChanges:
    """Return which samples differ.

    Args:
        a: a whole trace, each line with the digest of each sample's tokens.
        step: the first that differs, from 1; None where there is none.
    """
    ours, theirs = tokens_by_sample(a), tokens_by_sample(b)
    common = ours.keys() & theirs.keys()
    changed = sorted(sample for sample in common if ours[sample] != theirs[sample])
    # Of two samples with the same tokens either may be the other's partner: the later one is taken.
    holder = {theirs[sample]: sample for sample in changed}
    partners = ((one, holder.get(ours[one], one)) for one in changed)
    pairs = [(one, other) for one, other in partners if one < other and ours[other] == theirs[one]]
    gradients = None if step is None else _gradients(a[step - 1], b[step - 1])
    return SampleChanges(tuple(changed), tuple(pairs), gradients, len(common))


def tokens_by_sample(trace: Iterable[Record]) -> dict[int, str]:
    """Return the digest of each sample's tokens by its place in the training split."""
    return {
        sample: digest
        for record in trace
        for sample, digest in zip(record["sample_ids"], record["sample_tokens_sha256"] or (), strict=False)
    }


def _gradients(a: Record, b: Record) -> tuple[int, ...] | None:
    ours, theirs = (
        dict(zip(record["sample_ids"], record["sample_gradients_sha256"] or (), strict=False)) for record in (a, b)
    )
    if not ours or not theirs:
        return None
    return tuple(sample for sample in ours if sample in theirs and ours[sample] != theirs[sample])
