from __future__ import annotations

from pathlib import Path

import pytest

from samebits.record.fingerprint import compare_fingerprints, fingerprint
from samebits.verify.advice import finish_step, next_steps, start_step
from samebits.verify.difference import Difference

TENSOR = Difference("file", "a.safetensors", children=(Difference("tensor", "a"),))


def advise(*children: Difference, kind: str = "run", keys: tuple[str, ...] = (), rows: object = ()) -> tuple[str, ...]:
    root = Difference(kind, "", children=children)  # type: ignore[arg-type]
    return next_steps(root, recipe_keys=list(keys), environment=rows)  # type: ignore[arg-type]


def test_different_recipes_come_first_and_blame_no_machine() -> None:
    steps = advise(TENSOR, keys=("settings.seed", "b", "c", "d", "e", "f"), rows=(("execution.isa", 1, 2),))
    assert steps == (
        "the recipes differ in settings.seed, b, c, d, e and 1 more: train both with one recipe, then compare again",
    )


def test_machine_factors_are_named_in_their_order() -> None:
    rows = (("env.cpu.name", "a", "b"), ("env.time_zone", "a", "b"), ("execution.n_threads", 1, 2))
    (step,) = advise(TENSOR, rows=rows)
    assert "the number of threads (OMP_NUM_THREADS), then the CPU model" in step


@pytest.mark.parametrize(
    ("group", "key", "words"),
    [
        ("cpu", "name", "the CPU model: make it the same"),
        ("variables", "MKL_CBWR", "MKL's variables: make it the same"),
    ],
)
def test_a_factor_is_found_in_what_a_machine_really_records(group: str, key: str, words: str) -> None:
    here = fingerprint()
    elsewhere = {**here, group: {**here[group], key: "another"}}
    rows = [(f"env.{field}", *values) for field, *values in compare_fingerprints(here, elsewhere)]
    (step,) = advise(TENSOR, rows=rows)
    assert words in step


@pytest.mark.parametrize(
    ("rows", "words"), [((), "no known factor differs"), (None, "compare run folders that hold observed/")]
)
def test_without_a_factor_it_says_so(rows: object, words: str) -> None:
    assert words in advise(TENSOR, rows=rows)[0]


def test_damage_is_to_be_fetched_again() -> None:
    truncated = Difference("truncated", "a")
    assert "fetch the damaged files again" in advise(truncated, kind="folder")[0]
    assert "fetch the damaged files again" in advise(truncated, Difference("edited", "own summary"))[0]
    # A run that agrees with its own summary wrote its files like that: fetching them again would change nothing.
    assert advise(truncated) == ()


def test_an_edited_run_blames_no_machine() -> None:
    assert len(advise(TENSOR, Difference("edited", "own summary"), rows=(("execution.isa", 1, 2),))) == 1


def test_unfinished_run_is_to_be_resumed() -> None:
    assert finish_step(Path("my run")) == "finish the run: samebits train RECIPE --resume --out 'my run'"


def test_where_there_is_no_run_one_is_to_be_named_or_trained() -> None:
    words = "name another run folder, or train one: samebits train RECIPE --out 'my run'"
    assert start_step(Path("my run")) == words


def test_what_cannot_be_read_is_to_be_restored() -> None:
    assert "restore what cannot be read" in advise(Difference("unreadable", "x", is_proven=False))[0]
    assert "plain files" in advise(Difference("refused", "x", is_proven=False))[0]
