from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from samebits.record.operations import write_operations
from samebits.verify.causes import Evidence
from samebits.verify.reruns import Rerun
from samebits.verify.sides import read_side
from samebits.verify.steps import describe_step
from samebits.verify.traced import first_operation


@pytest.fixture
def evidence(make_whole_run: Callable[..., Path]) -> Evidence:
    """Two runs that part at step 3, and a machine that gives both again."""
    a = read_side("A", make_whole_run("a"))
    moved: dict[str, Any] = {"loss": lambda step, loss: loss + (step >= 3)}
    b = read_side("B", make_whole_run("b", **moved))
    reruns = tuple(Rerun((side.name,), {}, 3, records=(side.trace[2],) * 2) for side in (a, b))
    return Evidence(a, b, describe_step(a.trace[2], b.trace[2], 3), reruns=reruns)


def test_both_sides_are_traced_here_where_this_machine_gives_their_bits(evidence: Evidence, rerunner: Any) -> None:
    machine = rerunner(A=[list(evidence.a.trace)], B=[list(evidence.b.trace)])
    found, note = first_operation(evidence, machine, {})
    assert note == ""
    assert found is not None
    assert found.elements is not None
    assert (found.output.module, found.elements.facts["n_different"]) == ("h.0", 1)


def traced(evidence: Evidence, rerunner: Any, out: Path, *, keep: bool) -> Path:
    with rerunner(B=[list(evidence.b.trace)]).begin(evidence.b) as session:
        session.step = 2
        write_operations(out, session.trace_step("op", {1} if keep else set()))
    return out


@pytest.mark.parametrize("keep", [True, False])
def test_a_side_that_this_machine_does_not_give_is_read(
    keep: bool, evidence: Evidence, rerunner: Any, tmp_path: Path
) -> None:
    ours = replace(evidence, reruns=evidence.reruns[:1])
    machine = rerunner(A=[list(evidence.a.trace)])
    found, note = first_operation(ours, machine, {})
    assert found is None
    assert "samebits trace RUN --step 3" in note
    assert "--operations-b" in note
    folder = traced(evidence, rerunner, tmp_path / "operations", keep=keep)
    found, note = first_operation(ours, machine, {"B": folder})
    assert found is not None
    assert (found.elements is not None) == keep


def test_the_run_folders_own_trace_is_found(evidence: Evidence, rerunner: Any) -> None:
    assert evidence.b.path is not None
    traced(evidence, rerunner, evidence.b.path / "observed" / "operations", keep=False)
    ours = replace(evidence, reruns=evidence.reruns[:1])
    found, _ = first_operation(ours, rerunner(A=[list(evidence.a.trace)]), {})
    assert found is not None


def test_a_trace_of_another_run_is_refused(evidence: Evidence, rerunner: Any, tmp_path: Path) -> None:
    folder = traced(replace(evidence, b=replace(evidence.a, name="B")), rerunner, tmp_path / "operations", keep=False)
    found, note = first_operation(evidence, rerunner(A=[list(evidence.a.trace)]), {"B": folder})
    assert found is None
    assert "must be of the run's own step 3" in note
