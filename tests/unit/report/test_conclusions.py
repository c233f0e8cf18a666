"""Each rule speaks where its condition holds, and is silent where it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from samebits.report.analysis import analyze_folder
from samebits.report.conclusions import RULES

Arrange = Callable[[Any], None]


def same(make_run: Any) -> None:
    make_run("a")
    make_run("b")


def same_and_one_odd(make_run: Any) -> None:
    same(make_run)
    make_run("odd", weight=0.25, train_loss=3.25)


def equal_losses(make_run: Any) -> None:
    make_run("a", weight=0.5)
    make_run("b", weight=0.25)


def other_machine(make_run: Any) -> None:
    same(make_run)
    make_run("t1", weight=0.25, n_threads=1)


def other_machine_and_unexplained(make_run: Any) -> None:
    other_machine(make_run)
    make_run("t1-again", weight=0.125, n_threads=1)


def two_environments(make_run: Any) -> None:
    same(make_run)
    make_run("d", environment="docker")


def two_environments_that_differ(make_run: Any) -> None:
    same(make_run)
    make_run("d", environment="docker", weight=0.25)


def other_results(make_run: Any) -> None:
    make_run("a", train_loss=3.5)
    make_run("b", train_loss=3.25)


def damaged(make_run: Any) -> None:
    same(make_run)
    (make_run("hurt") / "golden" / "generations.jsonl").write_text("x\n")


def undecided(make_run: Any) -> None:
    same(make_run)
    (make_run("killed") / "artifact_summary.json").unlink()


def one_alone(make_run: Any) -> None:
    make_run("a")


def two_recipes(make_run: Any) -> None:
    same(make_run)
    make_run("other", seed=7)


def two_profiles(make_run: Any) -> None:
    for name in ("golden", "repeat-1"):
        make_run(name, numerics="portable-f32", eval_loss=3.75)
    make_run("stock", eval_loss=3.0)
    make_run("stock-threads-1", eval_loss=2.5, weight=0.25)


CASES: dict[str, tuple[Arrange, Arrange]] = {
    "nothing-compared": (one_alone, same),
    "all-same": (same, same_and_one_odd),
    "some-different": (same_and_one_odd, same),
    "equal-losses-hide-weights": (equal_losses, same_and_one_odd),
    "weights-agree": (other_results, same_and_one_odd),
    "machine-explains": (other_machine, other_machine_and_unexplained),
    "machine-does-not-explain": (other_machine_and_unexplained, other_machine),
    "environments-agree": (two_environments, two_environments_that_differ),
    "environments-differ": (two_environments_that_differ, two_environments),
    "environments-not-tested": (same, two_environments),
    "damaged": (damaged, same),
    "undecided": (undecided, same),
    "several-recipes": (two_recipes, same),
    "without-peer": (two_recipes, same),
    "losses-of-profiles": (two_profiles, two_recipes),
}


def test_every_rule_has_a_case() -> None:
    assert list(CASES) == [rule.name for rule in RULES]


@pytest.mark.parametrize("name", CASES)
def test_a_rule_speaks_where_it_applies(name: str, make_run: Any, tmp_path: Path) -> None:
    CASES[name][0](make_run)
    assert name in {entry["rule"] for entry in analyze_folder(tmp_path / "runs")["research_conclusions"]}


@pytest.mark.parametrize("name", CASES)
def test_a_rule_is_silent_where_it_does_not(name: str, make_run: Any, tmp_path: Path) -> None:
    CASES[name][1](make_run)
    assert name not in {entry["rule"] for entry in analyze_folder(tmp_path / "runs")["research_conclusions"]}


def test_two_runs_of_equal_losses_are_found_among_others(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    make_run("b", train_loss=3.25, weight=0.25)
    make_run("c", weight=0.125)
    sentences = {
        entry["rule"]: entry["conclusion"] for entry in analyze_folder(tmp_path / "runs")["research_conclusions"]
    }
    assert "2 runs of one recipe report the same losses" in sentences["equal-losses-hide-weights"]
    assert "2 different adapters" in sentences["equal-losses-hide-weights"]


def sentences_of(folder: Path) -> dict[str, str]:
    return {entry["rule"]: entry["conclusion"] for entry in analyze_folder(folder)["research_conclusions"]}


@pytest.mark.parametrize("n_threads", [2, 1])
def test_a_damaged_copy_is_no_difference_that_a_machine_explains(make_run: Any, tmp_path: Path, n_threads: int) -> None:
    same(make_run)
    hurt = make_run("hurt", n_threads=n_threads)
    (hurt / "golden" / "generations.jsonl").write_text("x\n")
    sentences = sentences_of(tmp_path / "runs")
    assert "some-different" in sentences
    assert "machine-explains" not in sentences
    make_run("other", n_threads=8, weight=0.25)
    assert "machine-explains" in sentences_of(tmp_path / "runs")


def test_runs_of_two_recipes_are_no_difference_that_a_machine_explains(make_run: Any, tmp_path: Path) -> None:
    damaged(make_run)
    make_run("other", seed=7, n_threads=8)
    assert "machine-explains" not in sentences_of(tmp_path / "runs")


def test_pairs_with_a_damaged_run_are_told(make_run: Any, tmp_path: Path) -> None:
    two_environments_that_differ(make_run)
    told = sentences_of(tmp_path / "runs")["environments-differ"]
    assert "0 of 2 pairs" in told
    assert told.endswith("a damaged run is in 0 of these pairs.")
    (make_run("hurt", environment="docker") / "golden" / "generations.jsonl").write_text("x\n")
    told = sentences_of(tmp_path / "runs")["environments-differ"]
    assert "0 of 4 pairs" in told
    assert told.endswith("a damaged run is in 2 of these pairs.")


def test_a_missing_machine_fact_explains_nothing(make_run: Any, tmp_path: Path) -> None:
    same(make_run)
    make_run("t1", weight=0.25, n_threads=1)
    for run in ("a", "b", "t1"):
        (tmp_path / "runs" / run / "observed" / "execution.json").write_text('{"environment":"native","isa":"AVX2"}')
    rules = {entry["rule"] for entry in analyze_folder(tmp_path / "runs")["research_conclusions"]}
    assert not rules & {"machine-explains", "machine-does-not-explain"}


def test_shares_of_several_profiles_are_told_apart(make_run: Any, tmp_path: Path) -> None:
    two_profiles(make_run)
    told = sentences_of(tmp_path / "runs")
    assert told["some-different"].endswith("1 do not (portable-f32 2 of 2, stock 1 of 2).")
    assert told["losses-of-profiles"] == (
        "Evaluation loss of the golden runs: 3.750000 under portable-f32, 3.000000 under stock, 25.000 % apart."
    )


@pytest.mark.parametrize("eval_loss", [None, 0.0])
def test_losses_that_cannot_be_held_against_each_other_are_no_conclusion(
    make_run: Any, tmp_path: Path, eval_loss: float | None
) -> None:
    make_run("golden", numerics="portable-f32")
    make_run("stock", eval_loss=eval_loss)
    assert "losses-of-profiles" not in sentences_of(tmp_path / "runs")
