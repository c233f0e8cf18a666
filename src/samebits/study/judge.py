"""Holding one run of a study against the one it names."""

from __future__ import annotations

from collections.abc import Mapping
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
    if run.golden_digest != expected.golden_digest:
        # Another recipe is no effect of the machine: then something other than the variation was changed.
        held = variation.expectation == "may differ" and run.recipe_sha256 == expected.recipe_sha256
        return replace(row, verdict="different", held=held, reason=row.reason or _what_differs(run, expected))
    if variation.facts and _has_same_facts(variation, run, expected):
        return replace(row, verdict="not tested", reason=NO_EFFECT)
    return replace(row, verdict="same", held=True)


def facts_of(run: Run) -> dict[str, Any]:
    """Return what a run recorded of its machine and of how it went; empty where it cannot be read."""
    try:
        training = read_object(run.path, _METADATA)
    except RecordError:
        training = {}
    return {"execution": run.execution, "env": run.fingerprint, "training": training}


def _what_differs(run: Run, expected: Run) -> str:
    if run.recipe_sha256 != expected.recipe_sha256:
        return "it trained another recipe"
    names = sorted(name for name in run.artifacts if run.artifacts[name] != expected.artifacts.get(name))
    return f"other bits in {', '.join(name.removeprefix('golden/') for name in names)}"


def _has_same_facts(variation: Variation, run: Run, expected: Run) -> bool:
    ours, golden = facts_of(run), facts_of(expected)
    return all(fact(ours, name) == fact(golden, name) for name in variation.facts)
