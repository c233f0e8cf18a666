"""Recording a training: what is written when, what is told, and what a killed run goes on from."""

from __future__ import annotations

import json
from collections.abc import Callable, Container
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from samebits.errors import CheckpointError, NonFiniteError
from samebits.record.checkpoint import Checkpoint, checkpoints
from samebits.record.documents import recipe_digest
from samebits.record.layout import RunFolder
from samebits.record.manifest import check_summary
from samebits.record.operations import Header, Level, OperationTrace, Recorder, traced_steps
from samebits.record.recording import Recording, record_training
from samebits.record.trace import trace_bytes

N_STEPS = 5
RecordsOf = Callable[[int], list[dict[str, Any]]]
Begin = Callable[..., Callable[[], "StandIn"]]


class StandIn:
    """A training that has its records ready; `fails_at` is the step that stops being finite."""

    def __init__(self, records_of: RecordsOf, golden: dict[str, Any], fails_at: int | None = None) -> None:
        self.n_steps, self.records_of, self.fails_at = N_STEPS, records_of, fails_at
        self.golden = {**golden, "trace": trace_bytes(records_of(N_STEPS))}
        self.records: list[dict[str, Any]] = []
        self.resumed_from: list[int] = []

    def take_step(self) -> dict[str, Any]:
        if len(self.records) + 1 == self.fails_at:
            raise NonFiniteError("the loss must be finite", where=f"step {self.fails_at}")
        self.records = self.records_of(len(self.records) + 1)
        return self.records[-1]

    def trace_step(self, level: Level, keep: Container[int] = ()) -> OperationTrace:
        record, recorder = self.take_step(), Recorder(keep)
        header = Header(
            level=level, step=len(self.records), numerics="stock", numerics_version=None, isa="avx2", n_threads=1,
            libraries={}, recipe_sha256=recipe_digest(self.golden["recipe"]), trace_line_sha256=record["sha256"],
        )  # fmt: skip
        return recorder.trace(header)

    def snapshot(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"n": np.array([len(self.records)])}, {}

    def restore(self, checkpoint: Checkpoint, where: str) -> None:
        self.records = self.records_of(int(checkpoint.tensors["n"][0]))
        self.resumed_from = [checkpoint.step]

    def golden_documents(self) -> dict[str, Any]:
        return self.golden

    def facts(self) -> dict[str, Any]:
        return {"engine": {"version": 7}}

    def execution_document(self, environment: str) -> dict[str, Any]:
        return {"environment": environment, "probes": {}}


class Listener:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def on_start(self, n_steps: int, first_step: int) -> None:
        self.calls.append(("start", n_steps, first_step))

    def on_step(self, step: int, loss: float, learning_rate: float, grad_norm: float) -> None:
        self.calls.append(("step", step, loss, learning_rate, grad_norm))

    def on_note(self, text: str) -> None:
        self.calls.append(("note", text))

    def on_finish(self) -> None:
        self.calls.append(("finish",))


@pytest.fixture
def begin(records_of: RecordsOf, golden: dict[str, Any]) -> Begin:
    return lambda fails_at=None: lambda: StandIn(records_of, golden, fails_at)


@pytest.fixture
def recording(golden: dict[str, Any]) -> Recording:
    return Recording(golden["recipe"], "a folder", "here", None, save_steps=2, save_total_limit=None, notes=["noticed"])


@pytest.fixture
def empty(tmp_path: Any) -> RunFolder:
    return RunFolder(tmp_path / "new")


def test_a_run_is_written_and_told_in_order(
    empty: RunFolder, begin: Begin, golden: dict[str, Any], recording: Recording
) -> None:
    listener = Listener()
    outcome = record_training(empty, begin(), recording, resume=False, progress=listener)
    assert empty.is_complete()
    assert not check_summary(empty)
    assert outcome.results == golden["results"]
    assert [step for step, _ in checkpoints(empty)] == [2, 4]
    first, second, *steps, last = listener.calls
    assert (first, second, last) == (("note", "noticed"), ("start", N_STEPS, 1), ("finish",))
    assert steps == [("step", step, 3.0 / step, 0.001 / step, 1.0 / step) for step in range(1, N_STEPS + 1)]
    assert json.loads((empty.observed / "execution.json").read_text())["environment"] == "here"
    assert json.loads((empty.observed / "env.json").read_text())["engine"] == {"version": 7}
    metadata = json.loads((empty.observed / "training_metadata.json").read_text())
    assert (metadata["base"], metadata["resumed_from"]) == ("a folder", [])
    assert metadata["timings_s"].keys() == {"load_s", "train_s", "evaluate_s", "total_s"}


def test_a_killed_run_goes_on_from_its_newest_checkpoint(empty: RunFolder, begin: Begin, recording: Recording) -> None:
    listener = Listener()
    with pytest.raises(NonFiniteError, match="step 4"):
        record_training(empty, begin(fails_at=4), recording, resume=False, progress=listener)
    assert listener.calls[-1] == ("finish",)
    assert [step for step, _ in checkpoints(empty)] == [2]
    listener = Listener()
    record_training(empty, begin(), recording, resume=True, progress=listener)
    assert listener.calls[1:3] == [("note", "training goes on after step 2"), ("start", N_STEPS, 3)]
    assert [call[1] for call in listener.calls if call[0] == "step"] == [3, 4, 5]
    metadata = json.loads((empty.observed / "training_metadata.json").read_text())
    assert metadata["resumed_from"] == [2]


def test_without_a_checkpoint_it_starts_from_the_beginning(
    empty: RunFolder, begin: Begin, recording: Recording
) -> None:
    listener = Listener()
    record_training(empty, begin(), recording, resume=True, progress=listener)
    told = "the run has no checkpoint yet: training starts from the beginning"
    assert listener.calls[1:3] == [("note", told), ("start", N_STEPS, 1)]


def test_the_checkpoint_of_another_recipe_is_refused(
    empty: RunFolder, begin: Begin, golden: dict[str, Any], recording: Recording
) -> None:
    with pytest.raises(NonFiniteError):
        record_training(empty, begin(fails_at=4), recording, resume=False, progress=Listener())
    other = replace(recording, recipe={**golden["recipe"], "settings": {"seed": 43}})
    with pytest.raises(CheckpointError, match="must be of the recipe that is resumed"):
        record_training(empty, begin(), other, resume=True, progress=Listener())


def test_a_finished_run_is_left_as_it_is(empty: RunFolder, begin: Begin, recording: Recording) -> None:
    first = record_training(empty, begin(), recording, resume=False, progress=Listener())

    def refuse() -> StandIn:
        raise AssertionError("nothing is to be trained")

    listener = Listener()
    again = record_training(empty, refuse, recording, resume=True, progress=listener)
    assert again == first
    assert listener.calls == [("note", "the run is finished already: nothing was trained")]


def test_old_checkpoints_are_dropped_as_asked(empty: RunFolder, begin: Begin, recording: Recording) -> None:
    limited = replace(recording, save_steps=1, save_total_limit=1)
    record_training(empty, begin(), limited, resume=False, progress=Listener())
    assert [step for step, _ in checkpoints(empty)] == [4]


def test_operations_are_traced_where_asked(empty: RunFolder, begin: Begin, recording: Recording) -> None:
    record_training(empty, begin(), recording, resume=False, progress=Listener())
    assert traced_steps(empty) == {}
    other = RunFolder(empty.path.with_name("traced"))
    traced = replace(recording, trace_level="op")
    outcome = record_training(other, begin(), traced, resume=False, progress=Listener())
    assert traced_steps(other).keys() == set(range(1, N_STEPS + 1))
    assert (
        outcome.golden_digest
        == record_training(empty, begin(), recording, resume=True, progress=Listener()).golden_digest
    )
