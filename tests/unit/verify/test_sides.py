from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from samebits.canonical.safetensors_file import write_safetensors
from samebits.errors import RecordError
from samebits.record.checkpoint import write_checkpoint
from samebits.record.documents import recipe_digest
from samebits.record.layout import RunFolder
from samebits.record.manifest import write_summary
from samebits.record.trace import read_trace, trace_bytes
from samebits.verify.bisection import bisect
from samebits.verify.sides import Side, checkpoint_before, read_side

Make = Callable[..., Path]


def faults(side: Side) -> list[tuple[str, str, int | None]]:
    return [(fault.kind, fault.where, fault.step) for fault in side.faults]


def save(run: Path, step: int, trace: bytes | None = None) -> Path:
    lines = read_trace((run / "golden" / "trace.jsonl").read_bytes(), "trace")
    data = trace if trace is not None else trace_bytes(lines[:step])
    tensors = {"parameter.a": np.zeros(4, np.float32), "trace_bytes": np.frombuffer(data, np.uint8)}
    recipe = json.loads((run / "golden" / "recipe.json").read_text())
    return write_checkpoint(RunFolder(run), step, tensors, {}, recipe_sha256=recipe_digest(recipe))


def test_a_whole_run_has_no_faults(make_whole_run: Make) -> None:
    side = read_side("A", make_whole_run("run"))
    assert (side.faults, len(side.trace), side.is_finished, side.broken_line) == ((), 5, True, None)
    assert side.recipe is not None
    assert side.recipe["settings"] == {"seed": 42}
    assert set(side.observed) == {"execution", "env", "metadata"}


def test_a_bare_golden_folder_is_a_run(make_whole_run: Make) -> None:
    side = read_side("A", make_whole_run("run") / "golden")
    assert (side.faults, len(side.trace), side.observed) == ((), 5, {})


def test_an_edited_line_is_named_and_the_steps_before_it_stay(make_whole_run: Make) -> None:
    run = make_whole_run("run")
    trace = run / "golden" / "trace.jsonl"
    trace.write_text(trace.read_text().replace('"loss":"0x1.0000000000000p+0"', '"loss":"0x1.0000000000001p+0"'))
    side = read_side("A", run)
    assert faults(side) == [("edited", "golden/trace.jsonl, line 3", 3)]
    assert len(side.trace) == 2
    assert side.broken_line is not None
    assert side.broken_line["loss"] == "0x1.0000000000001p+0"


def test_an_edited_file_is_told_by_the_summary(make_whole_run: Make) -> None:
    run = make_whole_run("run")
    with (run / "golden" / "generations.jsonl").open("a") as stream:
        stream.write("\n")
    side = read_side("A", run)
    assert faults(side) == [("edited", "golden/generations.jsonl", None)]
    assert "grown after recording" in side.faults[0].note


@pytest.mark.parametrize("name", ["results.json", "adapter_model.safetensors"])
def test_files_that_do_not_fit_each_other_are_told_without_the_summary(name: str, make_whole_run: Make) -> None:
    run, other = make_whole_run("run"), make_whole_run("other", loss=lambda step, loss: loss + step)
    write_safetensors(other / "golden" / "adapter_model.safetensors", {"a": np.zeros((4, 4), np.float32)})
    (run / "golden" / name).write_bytes((other / "golden" / name).read_bytes())
    write_summary(RunFolder(run))
    assert [fault[:2] for fault in faults(read_side("A", run))] == [("edited", f"golden/{name}")]


def test_an_unfinished_run_is_known_by_its_newest_sound_checkpoint(make_whole_run: Make) -> None:
    run = make_whole_run("run")
    save(run, 2)
    newest = save(run, 4)
    for path in (*(run / "golden").iterdir(), run / "artifact_summary.json"):
        path.unlink()
    (run / "golden").rmdir()
    side = read_side("B", run)
    assert (side.is_finished, len(side.trace), side.faults) == (False, 4, ())
    with (newest / "tensors.safetensors").open("r+b") as stream:
        stream.truncate(100)
    side = read_side("B", run)
    assert faults(side) == [("checkpoint", "checkpoints/step-00000004", 4)]
    assert "truncated, 100 of" in side.faults[0].note
    assert len(side.trace) == 2


def test_the_nearest_checkpoint_of_the_run_itself_is_taken(make_whole_run: Make) -> None:
    run = make_whole_run("run")
    for step in (1, 2, 4):
        save(run, step)
    foreign = read_trace(
        (make_whole_run("other", loss=lambda _, loss: loss + 1) / "golden/trace.jsonl").read_bytes(), ""
    )
    save(run, 3, trace_bytes(foreign[:3]))
    side = read_side("A", run)
    steps = [found.step if (found := checkpoint_before(side, step)) else 0 for step in (1, 2, 3, 4, 5)]
    assert steps == [0, 1, 2, 2, 4]


@pytest.mark.parametrize(("made", "got"), [(False, "nothing there"), (True, "no golden/ and no checkpoints/")])
def test_what_is_no_run_is_refused(made: bool, got: str, tmp_path: Path) -> None:
    if made:
        (tmp_path / "run").mkdir()
    with pytest.raises(RecordError, match=f"A must be a run folder, got {got}"):
        read_side("A", tmp_path / "run")


def test_an_adapter_behind_a_link_is_not_read(make_whole_run: Make, tmp_path: Path) -> None:
    golden = make_whole_run("run") / "golden"
    adapter = golden / "adapter_model.safetensors"
    adapter.rename(tmp_path / "elsewhere")
    adapter.symlink_to(tmp_path / "elsewhere")
    side = read_side("A", golden)
    assert [fault.kind for fault in side.faults] == ["unreadable"]
    assert "a run folder must hold no links" in side.faults[0].note


def test_a_line_of_strange_values_is_an_edited_line(make_whole_run: Make) -> None:
    run = make_whole_run("run")
    trace = run / "golden" / "trace.jsonl"
    lines = trace.read_bytes().split(b"\n")
    lines[1] = b'{"step":"x","loss":[[1e999]]}'
    trace.write_bytes(b"\n".join(lines))
    side = read_side("A", run)
    assert faults(side) == [("edited", "golden/trace.jsonl, line 2", 2)]
    assert bisect(run, make_whole_run("other"), None).verdict == "different"


def test_an_unreadable_recipe_is_a_fault(make_whole_run: Make) -> None:
    run = make_whole_run("run")
    (run / "golden" / "recipe.json").write_text("{")
    side = read_side("A", run)
    assert side.recipe is None
    assert ("unreadable", "golden/recipe.json", None) in faults(side)
