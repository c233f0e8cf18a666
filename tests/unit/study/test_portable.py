"""Changes of a portable run's execution fit the machine, belong to no recipe, and really change something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from samebits.models.families import adapt
from samebits.models.inputs import find_inputs
from samebits.models.pack import plan_packs
from samebits.recipe.reader import read_settings
from samebits.recipe.settings import kind_of
from samebits.study.portable import EXECUTION, SMALL_BUDGET, execution, portable_pairs, resumes
from samebits.study.variation import Variation
from samebits.training.memory import plan_pass


def machine(isa: str = "avx2", n_threads: int = 2, isas: Any = ("baseline", "avx2")) -> dict[str, Any]:
    recorded = {"isa": isa, "n_threads": n_threads, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1}
    env = {"numerics": {"runnable_isas": list(isas)} if isas else None}
    return {"execution": recorded, "env": env, "n_steps": 6}


def made(factor: str, facts: dict[str, Any], *, full: bool = False) -> list[Variation]:
    return execution(facts, full=full)[factor]()


@pytest.mark.parametrize(
    ("n_threads", "expected"),
    [(2, ["1", "3", "8"]), (1, ["3", "8", "2"]), (3, ["1", "8", "2"]), (8, ["1", "3", "2"]), (64, ["1", "3", "8"])],
)
def test_three_other_thread_counts_are_tried(n_threads: int, expected: list[str]) -> None:
    found = made("threads", machine(n_threads=n_threads))
    assert [variation.name for variation in found] == [f"threads-{count}" for count in expected]


def test_every_other_runnable_instruction_set_is_tried() -> None:
    found = made("isa", machine(isa="amx", isas=("baseline", "avx2", "avx512", "amx")))
    assert [variation.environment["SAMEBITS_ISA"] for variation in found] == ["baseline", "avx2", "avx512"]


@pytest.mark.parametrize("isas", [("avx2",), None])
def test_without_another_instruction_set_the_row_says_so(isas: Any) -> None:
    [found] = made("isa", machine(isas=isas))
    assert "no other instruction set than avx2" in str(found.unavailable)


def test_every_change_is_expected_to_give_the_same_bits_and_is_no_recipe(tmp_path: Path) -> None:
    found = [variation for factor in EXECUTION for variation in made(factor, machine(), full=True)]
    for variation in [*found, *portable_pairs(machine(), tmp_path)]:
        assert (variation.expectation, variation.against) == ("same", "golden")
        assert all(part.facts for part in variation.parts or (variation,))
        names = {pair.partition("=")[0] for pair in variation.settings}
        assert {kind_of(name).role_under("portable-f32") for name in names} <= {"execution"}


def test_another_split_has_as_many_samples_in_a_step() -> None:
    for variation in made("batch-split", machine()):
        settings = read_settings(None, ("numerics=portable-f32", *variation.settings))
        assert settings.per_device_train_batch_size * settings.gradient_accumulation_steps == 4


@pytest.mark.parametrize(
    ("n_samples", "n_passes", "expected"),
    [(4, 1, ["1x4", "2x2"]), (1, 4, ["2x2", "4x1"]), (3, 1, ["1x3"]), (2, 3, ["1x6", "3x2", "6x1"])],
)
def test_a_step_is_split_as_the_recipe_does_not(n_samples: int, n_passes: int, expected: list[str]) -> None:
    facts = machine()
    facts["execution"] |= {"per_device_train_batch_size": n_samples, "gradient_accumulation_steps": n_passes}
    assert [one.name for one in made("batch-split", facts)] == [f"batch-split-{split}" for split in expected]


def test_one_sample_cannot_be_split() -> None:
    facts = machine()
    facts["execution"]["per_device_train_batch_size"] = 1
    [found] = made("batch-split", facts)
    assert found.unavailable == "a step has one sample only"


@pytest.mark.parametrize(
    ("n_steps", "expected"),
    [
        (6, [("resume", 3), ("resume-2", 2), ("resume-6", 6)]),
        (2, [("resume", 2)]),
        (3, [("resume", 2), ("resume-3", 3)]),
    ],
)
def test_a_run_is_killed_in_a_step_that_the_recipe_has(n_steps: int, expected: list[tuple[str, int]]) -> None:
    found = resumes({"n_steps": n_steps}, full=True)
    assert [(one.name, f"killed at step {step}, resumed") for one, (_, step) in zip(found, expected, strict=True)] == [
        (one.name, one.changed) for one in found
    ]
    assert [one.name for one in found] == [name for name, _ in expected]
    for one, (_, step) in zip(found, expected, strict=True):
        assert one.settings == (f"save_steps={step - 1}",)
        assert one.beginning is not None
        assert f"step == {step}:" in one.beginning.prelude


def test_one_step_cannot_be_resumed() -> None:
    [found] = resumes({"n_steps": 1}, full=True)
    assert found.unavailable == "the recipe has fewer than two steps"


def test_the_small_budget_makes_other_packs_of_the_embedded_recipe() -> None:
    plans = []
    for pairs in ((), (SMALL_BUDGET,)):
        settings = read_settings(None, ("numerics=portable-f32", *pairs))
        inputs = find_inputs(settings)
        samples = inputs.data.train.samples[:4]
        passes = plan_pass(adapt(inputs.base, settings).model, samples, settings.memory_budget_mib)
        plans.append((passes.keeps_activations, len(plan_packs(samples, passes.n_rows))))
    assert plans[0] == (True, 1)
    assert plans[1][0] is False
    assert plans[1][1] > 1


@pytest.mark.parametrize(("n_threads", "expected"), [(2, 3), (3, 8)])
def test_a_resumed_run_goes_on_with_other_threads(n_threads: int, expected: int) -> None:
    [found] = made("resume", machine(n_threads=n_threads))
    assert f"threads={expected}" in found.settings
    assert found.beginning is not None
    compile(found.beginning.prelude, "prelude", "exec")


def test_pairs_join_each_instruction_set_with_each_thread_count(tmp_path: Path) -> None:
    found = portable_pairs(machine(), tmp_path)[1:]
    assert len({variation.name for variation in found}) == len(found) == 6
    assert sum("SAMEBITS_ISA" in variation.environment for variation in found) == 3
    assert all(any(pair.startswith("threads=") for pair in variation.settings) for variation in found)
