"""One run held against another: bits first, then whether the change took effect at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from samebits.report.runs import Run
from samebits.study.judge import NO_EFFECT, facts_of, judge
from samebits.study.rows import Row
from samebits.study.variation import Variation


def run(digest: str, *, recipe: str = "r", state: str = "complete", n_threads: int = 2) -> Run:
    execution = {"n_threads": n_threads}
    return Run("x", Path("x"), state, recipe_sha256=recipe, golden_digest=digest, execution=execution)


def judged(found: Run, golden: Run | None, **fields: Any) -> Row:
    change = Variation("threads-1", "threads", "1", facts=("execution.n_threads",), **fields)
    row = Row(change.profile, change.name, change.factor, change.changed, change.expectation, change.against)
    return judge(change, row, found, {"golden": golden} if golden else {})


@pytest.mark.parametrize(
    ("found", "expectation", "verdict", "held"),
    [
        (run("a", n_threads=1), "same", "same", True),
        (run("a", n_threads=1), "may differ", "same", True),
        (run("a"), "same", "not tested", None),
        (run("b", n_threads=1), "same", "different", False),
        # Other bits are a finding, whatever the facts say.
        (run("b"), "same", "different", False),
        (run("b", n_threads=1), "may differ", "different", True),
        (run("b", n_threads=1, recipe="other"), "may differ", "different", False),
        (run("a", n_threads=1, state="damaged"), "may differ", "different", False),
        (run("a", state="undecided"), "same", "undecided", None),
    ],
)
def test_the_verdict_and_whether_the_expectation_held(
    found: Run, expectation: Any, verdict: str, held: bool | None
) -> None:
    row = judged(found, run("a"), expectation=expectation)
    assert (row.verdict, row.held) == (verdict, held)
    assert (row.reason == NO_EFFECT) == (verdict == "not tested")


def test_without_a_golden_run_nothing_is_the_same() -> None:
    assert judged(run("a"), None).verdict == "undecided"


def test_the_golden_run_of_each_profile_is_golden() -> None:
    for profile, name in (("portable-f32", "golden"), ("stock", "stock")):
        change = Variation(name, "repeat", "", profile, against=name)
        row = Row(profile, name, "repeat", "", "same", name)
        assert judge(change, row, run("a"), {name: run("a")}).verdict == "golden"


def test_the_steps_after_which_a_run_was_resumed_are_facts(tmp_path: Path) -> None:
    assert facts_of(Run("x", tmp_path, "complete"))["training"] == {}
    (tmp_path / "observed").mkdir()
    (tmp_path / "observed" / "training_metadata.json").write_text('{"resumed_from": [2]}')
    assert facts_of(Run("x", tmp_path, "complete"))["training"] == {"resumed_from": [2]}
