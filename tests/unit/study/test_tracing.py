"""A step of a recorded run is traced again, from the right place on, and held against the run's own trace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from samebits.canonical.digests import sha256_bytes
from samebits.errors import ModelError, RecordError, UsageError
from samebits.recipe.reader import settings_from
from samebits.record.layout import RunFolder
from samebits.record.operations import operations_file, read_operations, traced_steps
from samebits.record.progress import Silence
from samebits.record.trace import step_record, trace_bytes
from samebits.study.rebuild import Sources
from samebits.study.tracing import TracedStep, trace_step
from samebits.study.trainer import trainer

STEPS = 4


@pytest.fixture(scope="module", params=["portable-f32", "stock"])
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps with a trace of every step and checkpoints after the first three."""
    out = tmp_path_factory.mktemp("tracing") / "run"
    values = {"numerics": request.param, "max_steps": STEPS, "save_steps": 1, "trace_level": "op", "threads": 1}
    trainer(request.param)(settings_from(values, where="here"), out, resume=False, progress=Silence())
    return out


@pytest.fixture
def run(recorded: Path, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(recorded, tmp_path / "run")))


def _traced(run: RunFolder, step: int, **arguments: Any) -> TracedStep:
    return trace_step(run, step, "op", **{"sources": Sources(), "execution": {"threads": 1}, **arguments})


def test_a_run_keeps_a_trace_of_every_step_where_it_is_asked_to(recorded: Path) -> None:
    run = RunFolder(recorded)
    assert list(traced_steps(run)) == list(range(1, STEPS + 1))
    lines = [json.loads(line) for line in (run.golden / "trace.jsonl").read_text().splitlines()]
    for step, relative in traced_steps(run).items():
        header = read_operations(run.path, relative).header
        assert (header.step, header.trace_line_sha256) == (step, lines[step - 1]["sha256"])
        assert header.recipe_sha256 == sha256_bytes((run.golden / "recipe.json").read_bytes())


def test_a_step_is_traced_again_from_the_checkpoint_before_it(run: RunFolder) -> None:
    for step in (1, 3):
        traced = _traced(run, step)
        assert traced.trace.outputs == read_operations(run.path, operations_file(step)).outputs
        assert (traced.resumed_from, traced.first_difference) == (step - 1, None)


def test_a_damaged_checkpoint_is_passed_over_aloud(run: RunFolder) -> None:
    told: list[str] = []
    tensors = run.checkpoints / "step-00000002" / "tensors.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(data)
    traced = _traced(run, 3, on_note=told.append)
    assert (traced.resumed_from, traced.first_difference) == (1, None)
    assert len(told) == 1
    assert "step-00000002" in told[0]


def test_without_checkpoints_it_begins_at_the_beginning(run: RunFolder) -> None:
    shutil.rmtree(run.checkpoints)
    traced = _traced(run, 2)
    assert traced.resumed_from == 0
    assert traced.trace.outputs == read_operations(run.path, operations_file(2)).outputs


def _with_another_second_step(run: RunFolder) -> None:
    """Forge a trace whose chain holds and whose second step had another gradient."""
    records = [json.loads(line) for line in (run.golden / "trace.jsonl").read_text().splitlines()]
    forged: list[dict[str, Any]] = []
    for record in records:
        values = {key: value for key, value in record.items() if key != "sha256"}
        for name in ("loss", "grad_norm", "learning_rate"):
            values[name] = float.fromhex(values[name])
        if values["step"] == 2:
            values["gradients_sha256"] = sha256_bytes(b"another")
        if forged:
            values["previous_sha256"] = forged[-1]["sha256"]
        forged.append(step_record(**values))
    (run.golden / "trace.jsonl").write_bytes(trace_bytes(forged))


def test_a_step_that_is_another_one_here_is_told_and_traced_all_the_same(run: RunFolder) -> None:
    honest = read_operations(run.path, operations_file(3)).outputs
    _with_another_second_step(run)
    told: list[str] = []
    traced = _traced(run, 3, on_note=told.append)
    # The checkpoint after the second step has another trace than the forged one; that after the first has not.
    assert traced.resumed_from == 1
    assert traced.first_difference == (2, ("gradients_sha256",))
    assert traced.trace.outputs == honest
    assert any("a checkpoint's trace must be the run's own" in text for text in told)


def test_what_cannot_be_traced_is_refused(run: RunFolder) -> None:
    for step in (0, STEPS + 1):
        with pytest.raises(UsageError, match=f"--step must be from 1 to {STEPS}"):
            _traced(run, step)
    with pytest.raises(ModelError):
        _traced(run, 1, sources=Sources(base=str(run.path)))
    (run.golden / "trace.jsonl").unlink()
    with pytest.raises(RecordError, match="the file must be there"):
        _traced(run, 1)
