"""Each rule decides on its own evidence, and says undecided where another cause fits as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from samebits.verify.asked import RecipeChange
from samebits.verify.causes import Evidence, judge
from samebits.verify.ran import Observed
from samebits.verify.reruns import Rerun
from samebits.verify.sides import Fault, Side, read_side
from samebits.verify.steps import describe_step

STOCK = {"record_version": 1, "numerics": "stock", "settings": {"seed": 42}}
SEED = RecipeChange("settings.seed", 42, 43, "recipe")
RATE = RecipeChange("settings.learning_rate", 1.0, 2.0, "recipe")
DATA = RecipeChange("data.train.raw_sha256", "1" * 64, "2" * 64, "data")
BASE = RecipeChange("base.weights_sha256", "1" * 64, "2" * 64, "base")
THREADS = Observed("execution.n_threads", 1, 2, "execution")
TORCH = Observed("execution.libraries.torch", "2.9", "3.0", "library", here="2.9")
CPU = Observed("env.cpu.name", "one", "other", "machine", here="one")


@pytest.fixture
def evidence(make_whole_run: Callable[..., Path]) -> Evidence:
    """Two stock runs of one recipe, other losses from step 3 on."""
    a = read_side("A", make_whole_run("a", recipe=STOCK))
    moved: dict[str, Any] = {"loss": lambda step, loss: loss + (step >= 3)}
    b = read_side("B", make_whole_run("b", recipe=STOCK, **moved))
    return Evidence(a, b, describe_step(a.trace[2], b.trace[2], 3), is_observed=True)


def rerun(evidence: Evidence, side: Side, gives: Side, times: int = 2, **execution: Any) -> Rerun:
    return Rerun((side.name,), execution, 3, records=(gives.trace[2],) * times)


def found(evidence: Evidence, **changes: Any) -> tuple[str, str]:
    cause = judge(replace(evidence, **changes))
    return cause.kind, cause.name


def test_an_edited_record_comes_before_everything(evidence: Evidence) -> None:
    b = replace(evidence.b, faults=(Fault("edited", "golden/results.json", "changed"),))
    assert found(evidence, b=b, recipe=(SEED,)) == ("edited record", "golden/results.json")


def test_a_damaged_checkpoint_is_the_cause_of_an_unfinished_run_only(evidence: Evidence) -> None:
    b = replace(evidence.b, faults=(Fault("checkpoint", "checkpoints/step-00000002", "truncated"),))
    assert found(evidence, b=b)[0] == "undecided"
    assert found(evidence, b=replace(b, is_finished=False))[0] == "damaged checkpoint"


def test_parameters_that_move_and_move_back_were_edited(
    evidence: Evidence, make_whole_run: Callable[..., Path]
) -> None:
    moved = make_whole_run("c", recipe=STOCK, optimizer_sha256=lambda step, old: "f" * 64 if step == 3 else old)
    b = read_side("B", moved)
    first = describe_step(evidence.a.trace[2], b.trace[2], 3)
    assert found(evidence, b=b, first=first) == ("edited record", "golden/trace.jsonl, line 3")


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ((SEED,), ("recipe", "seed")),
        ((BASE,), ("base", "base.weights_sha256")),
        ((SEED, RATE, DATA), ("recipe", "seed")),
        ((SEED, BASE), ("undecided", "")),
        ((RecipeChange("numerics", "stock", "portable-f32", "recipe"), SEED, BASE), ("recipe", "numerics")),
        ((RATE,), ("undecided", "")),
    ],
)
def test_of_the_keys_that_differ_those_that_show_in_this_field_are_the_cause(
    evidence: Evidence, recipe: tuple[RecipeChange, ...], expected: tuple[str, str]
) -> None:
    assert found(evidence, recipe=recipe) == expected


def test_a_portable_host_that_gives_two_results_is_faulty(evidence: Evidence) -> None:
    portable = {**STOCK, "numerics": "portable-f32"}
    a, b = (replace(side, recipe=portable) for side in (evidence.a, evidence.b))
    twice = Rerun(("A", "B"), {}, 3, records=(a.trace[2], b.trace[2]))
    assert found(evidence, a=a, b=b, reruns=(twice,)) == ("hardware", "this host")
    # Under stock the race of threads may do the same: one thread tells them apart.
    assert found(evidence, reruns=(twice,))[0] == "undecided"
    assert found(evidence, reruns=(replace(twice, execution={"n_threads": 1}),))[0] == "hardware"


def test_an_execution_is_confirmed_by_giving_both_sides_again(evidence: Evidence) -> None:
    a, b = evidence.a, evidence.b
    both = rerun(evidence, a, a, n_threads=1), rerun(evidence, b, b, n_threads=2)
    assert found(evidence, reruns=both, observed=(THREADS, TORCH)) == ("execution", "n_threads")


def test_without_an_experiment_two_things_that_differ_are_undecided(evidence: Evidence) -> None:
    assert found(evidence, observed=(THREADS, TORCH)) == ("undecided", "")
    assert found(evidence, observed=(THREADS,)) == ("execution", "n_threads")
    assert found(evidence, observed=(TORCH,)) == ("library", "torch")


def test_threads_are_ruled_out_where_both_give_one_sides_bits(evidence: Evidence) -> None:
    a, b = evidence.a, evidence.b
    both = rerun(evidence, a, a, n_threads=1), rerun(evidence, b, a, n_threads=2)
    assert found(evidence, reruns=both, observed=(THREADS, TORCH)) == ("library", "torch")


def test_a_value_that_this_machine_shares_with_the_side_it_does_not_agree_with_is_ruled_out(evidence: Evidence) -> None:
    a, b = evidence.a, evidence.b
    both = rerun(evidence, a, a), rerun(evidence, b, a)
    shared = replace(TORCH, here="3.0")
    assert found(evidence, reruns=both, observed=(shared, CPU)) == ("machine", "cpu.name")


def test_on_the_portable_arithmetic_threads_and_libraries_are_no_cause(evidence: Evidence) -> None:
    portable = {**STOCK, "numerics": "portable-f32"}
    a, b = (replace(side, recipe=portable) for side in (evidence.a, evidence.b))
    cause = judge(replace(evidence, a=a, b=b, observed=(THREADS, TORCH, CPU)))
    assert cause.kind == "undecided"
    assert "reaches no bit" in " ".join(cause.evidence)
    code = Observed("env.numerics.sources_sha256", "1" * 64, "2" * 64, "code")
    assert found(evidence, a=a, b=b, observed=(THREADS, code)) == ("code", "numerics.sources_sha256")


def test_machines_that_were_not_recorded_leave_it_open(evidence: Evidence) -> None:
    cause = judge(replace(evidence, is_observed=False))
    assert (cause.kind, cause.sentence) == ("undecided", "the recipes agree, and the machines were not recorded")
