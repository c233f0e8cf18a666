"""Holding one run of a study against the one it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from samebits.errors import RecordError
from samebits.record.files import read_object
from samebits.report.runs import Run
from samebits.study.rows import Row
from samebits.study.variation import GOLDEN_RUNS, Variation, fact

NO_EFFECT = "the child recorded the same effective settings as the golden run: the knob changes nothing here"
_METADATA = "observed/training_metadata.json"


def judge(variation: Variation, row: Row, run: Run, runs: Mapping[str, Run]) -> Row:
    """Hold a run against the one it names, and say whether the expectation held.

    Args:
        runs: the complete runs so far, by name.
    """
    row = replace(row, golden_digest=run.golden_digest, reason="; ".join(run.reasons))
    expected = runs.get(variation.against)
    if run.state == "undecided" or (expected is None and run.state == "complete"):
        return replace(row, reason=row.reason or f"there is no complete run {variation.against} to hold it against")
    if variation.name == GOLDEN_RUNS[variation.profile]:
        return replace(row, verdict="golden" if run.state == "complete" else "undecided")
    if expected is None or run.state == "damaged":
        return replace(row, verdict="different", held=False)
    parts = variation.parts or (variation,)
    row = replace(row, unseen=_unseen(parts, run, expected))
    if run.golden_digest != expected.golden_digest:
        # Another recipe is no effect of the machine: then something other than the variation was changed.
        held = variation.expectation == "may differ" and run.recipe_sha256 == expected.recipe_sha256
        return replace(row, verdict="different", held=held, reason=row.reason or _what_differs(run, expected))
    if len(row.unseen) == len(parts):
        return replace(row, verdict="not tested", reason=NO_EFFECT)
    told = [row.reason, f"no trace of {', '.join(row.unseen)}"] if row.unseen else [row.reason]
    return replace(row, verdict="same", held=True, reason="; ".join(filter(None, told)))


def facts_of(run: Run) -> dict[str, Any]:
    """Return what a run recorded of its machine and of how it went; empty where it cannot be read."""
    try:
        training = read_object(run.path, _METADATA)
    except RecordError:
        training = {}
    return {"execution": run.execution, "env": run.fingerprint, "training": training, "n_steps": len(run.trace)}


def _what_differs(run: Run, expected: Run) -> str:
    if run.recipe_sha256 != expected.recipe_sha256:
        return "it trained another recipe"
    names = sorted(name for name in run.artifacts if run.artifacts[name] != expected.artifacts.get(name))
    return f"other bits in {', '.join(name.removeprefix('golden/') for name in names)}"


def _unseen(parts: Sequence[Variation], run: Run, expected: Run) -> tuple[str, ...]:
    """Return the names of the changes of which the run's own record shows nothing."""
    ours, golden = facts_of(run), facts_of(expected)
    return tuple(
        part.name for part in parts if part.facts and all(fact(ours, name) == fact(golden, name) for name in part.facts)
    )
