from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from samebits.errors import RecordError
from samebits.verify.bisection import AtHand, bisect
from samebits.verify.sides import read_side

Make = Callable[..., Path]


@pytest.fixture
def runs(make_whole_run: Make) -> tuple[Path, Path]:
    """Two runs that part at step 3."""
    moved: dict[str, Any] = {"loss": lambda step, loss: loss + (step >= 3)}
    return make_whole_run("a"), make_whole_run("b", **moved)


def lines(path: Path) -> list[dict[str, Any]]:
    return list(read_side("A", path).trace)


def test_a_run_and_itself_are_the_same(runs: tuple[Path, Path]) -> None:
    found = bisect(runs[0], runs[0], None)
    assert (found.verdict, found.first, found.cause) == ("same", None, None)


def test_without_executing_the_step_is_placed_and_the_cause_open(runs: tuple[Path, Path]) -> None:
    found = bisect(*runs, None)
    assert found.first is not None
    assert found.cause is not None
    assert (found.verdict, found.first.step, found.first.field, found.cause.kind) == (
        "different",
        3,
        "loss",
        "undecided",
    )
    document = json.loads(json.dumps(found.as_document(), allow_nan=False))
    assert document["place"]["step"] == 3
    assert document["cause"]["kind"] == "undecided"


def test_one_recipe_and_execution_are_executed_once_for_both(runs: tuple[Path, Path], rerunner: Any) -> None:
    found = bisect(*runs, rerunner(A=[lines(runs[0])]))
    (rerun,) = found.reruns
    assert (rerun.sides, rerun.repeats, rerun.gave(lines(runs[0])[2])) == (("A", "B"), True, True)
    assert found.cause is not None
    assert "with A's recipe and execution this machine gave A's bits (2 times)" in found.cause.evidence


def test_other_threads_are_executed_for_each(make_whole_run: Make, rerunner: Any) -> None:
    recipe = {"record_version": 1, "numerics": "stock", "settings": {}}
    moved: dict[str, Any] = {"loss": lambda step, loss: loss + (step >= 3)}
    a = make_whole_run("a", recipe=recipe)
    b = make_whole_run("b", recipe=recipe, execution={"isa": "avx2", "n_threads": 1}, **moved)
    found = bisect(a, b, rerunner(A=[lines(a)], B=[lines(b)]))
    assert [rerun.sides for rerun in found.reruns] == [("A",), ("B",)]
    assert found.cause is not None
    assert (found.cause.kind, found.cause.name) == ("execution", "n_threads")
    assert found.operation is not None


def test_this_machine_is_the_other_side(runs: tuple[Path, Path], rerunner: Any) -> None:
    same = bisect(runs[0], None, rerunner(A=[lines(runs[0])]))
    assert (same.verdict, same.remarks) == ("same", ("this machine gave all 5 steps again, bit for bit",))
    other = bisect(runs[0], None, rerunner(A=[lines(runs[1])]))
    assert other.first is not None
    assert (other.verdict, other.first.step, other.b.path) == ("different", 3, None)


def test_a_machine_that_cannot_execute_the_run_leaves_it_open(runs: tuple[Path, Path], rerunner: Any) -> None:
    found = bisect(runs[0], None, rerunner())
    assert found.verdict == "undecided"
    assert found.remarks == ("not executed here: the base must be here, got none",)


def test_a_machine_that_gives_two_results_is_told(runs: tuple[Path, Path], rerunner: Any) -> None:
    found = bisect(*runs, rerunner(A=[lines(runs[0]), lines(runs[1])]))
    assert found.cause is not None
    assert found.cause.kind == "hardware"


def test_an_edited_run_is_not_executed(runs: tuple[Path, Path], rerunner: Any) -> None:
    trace = runs[1] / "golden" / "trace.jsonl"
    trace.write_text(trace.read_text().replace('"n_target_tokens":100', '"n_target_tokens":101', 1))
    machine = rerunner(A=[lines(runs[0])])
    found = bisect(*runs, machine)
    assert machine.sessions == []
    assert found.cause is not None
    assert (found.cause.kind, found.file) == ("edited record", "golden/trace.jsonl, line 1 of B")
    assert "n_target_tokens alone was edited" in found.cause.evidence[1]


def test_files_outside_every_step_are_placed_by_name(make_whole_run: Make) -> None:
    recipe = {"record_version": 1, "numerics": "stock", "settings": {"generation_max_new_tokens": 1}}
    a = make_whole_run("a", recipe=recipe)
    b = make_whole_run("b", recipe={**recipe, "settings": {"generation_max_new_tokens": 2}})
    found = bisect(a, b, None)
    assert found.cause is not None
    assert (found.verdict, found.file, found.cause.kind) == ("different", "golden/recipe.json", "recipe")


def test_data_at_hand_are_compared(make_whole_run: Make, tmp_path: Path) -> None:
    recipe = {"record_version": 1, "numerics": "stock", "settings": {}, "data": {"train": {"raw_sha256": "1" * 64}}}
    moved: dict[str, Any] = {"token_sha256": lambda step, old: "f" * 64 if step == 2 else old}
    a = make_whole_run("a", recipe=recipe)
    b = make_whole_run("b", recipe={**recipe, "data": {"train": {"raw_sha256": "2" * 64}}}, **moved)
    files = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    for file, text in zip(files, ("1\n2\n3\n", "1\n5\n3\n"), strict=True):
        file.write_text(text)
    found = bisect(a, b, None, AtHand(data=files))
    assert found.cause is not None
    assert (found.cause.kind, found.cause.name) == ("data", "line 2")


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="A must be a run folder, got nothing there"):
        bisect(tmp_path / "none", None, None)
