from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from samebits.verify.reruns import execution_of, follow, rerun_step, trace_again
from samebits.verify.sides import Side, read_side

Trace = list[dict[str, Any]]


@pytest.fixture
def side(make_whole_run: Callable[..., Path]) -> Side:
    return read_side("A", make_whole_run("run"))


@pytest.fixture
def other(make_whole_run: Callable[..., Path]) -> Trace:
    """The lines of another run: from step 3 on they differ."""
    moved = make_whole_run("other", loss=lambda step, loss: loss + (step >= 3))
    return list(read_side("B", moved).trace)


def test_a_machine_that_gives_a_side_again_agrees_with_it(side: Side, other: Trace, rerunner: Any) -> None:
    found = rerun_step(rerunner(A=[list(side.trace)]), side, 3, sides=("A",), helper=None)
    assert (found.repeats, found.from_step, found.left_at, found.refused) == (True, 0, None, None)
    assert found.gave(side.trace[2])
    assert not found.gave(other[2])


def test_a_machine_that_gives_two_results_does_not_repeat(side: Side, other: Trace, rerunner: Any) -> None:
    found = rerun_step(rerunner(A=[list(side.trace), other]), side, 3, sides=("A",), helper=None)
    assert found.repeats is False
    assert not found.gave(side.trace[2])


def test_a_step_on_the_way_that_does_not_repeat_shows_too(side: Side, other: Trace, rerunner: Any) -> None:
    found = rerun_step(rerunner(A=[list(side.trace), other]), side, 5, sides=("A",), helper=None)
    assert (found.repeats, found.left_at) == (False, 3)


def test_what_cannot_be_executed_is_refused_and_says_nothing(side: Side, rerunner: Any) -> None:
    found = rerun_step(rerunner(), side, 3, sides=("A",), helper=None)
    assert found.refused == "the base must be here, got none"
    assert (found.repeats, found.gave(side.trace[2])) == (None, False)


def test_a_recipe_without_that_step_is_refused(side: Side, rerunner: Any) -> None:
    found = rerun_step(rerunner(A=[list(side.trace[:2])]), side, 3, sides=("A",), helper=None)
    assert found.refused == "the recipe must have 3 steps, got 2"


def test_a_run_is_followed_to_its_first_difference(side: Side, other: Trace, rerunner: Any) -> None:
    assert follow(rerunner(A=[other]), side) == tuple(other[:3])
    assert follow(rerunner(A=[list(side.trace)]), side) == side.trace


def test_the_traced_step_is_the_one_asked_for(side: Side, rerunner: Any) -> None:
    trace = trace_again(rerunner(A=[list(side.trace)]), side, 4, "op", keep={1}, helper=None)
    assert (trace.header.step, trace.header.trace_line_sha256) == (4, side.trace[3]["sha256"])
    assert list(trace.tensors) == [1]


def test_execution_is_what_was_recorded(side: Side) -> None:
    assert execution_of(side) == {"isa": "avx2", "n_threads": 2}
    assert execution_of(replace(side, observed={"execution": {"isa": None, "n_threads": [1]}})) == {}
