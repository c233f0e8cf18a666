"""The first divergence is the first: of steps, of fields within a step, of tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from samebits.record.layout import RunFolder
from samebits.record.manifest import write_summary
from samebits.report.divergence import first_divergence
from samebits.report.runs import Run, read_run
from samebits.verify.compare import compare


def pair(make_run: Any, **candidate: Any) -> tuple[Run, Run]:
    return read_run(make_run("golden"), "golden"), read_run(make_run("candidate", **candidate), "candidate")


def test_equal_runs_have_none(make_run: Any) -> None:
    found = first_divergence(*pair(make_run))
    assert (found["step"], found["tensor"], found["artifacts"]) == (None, None, [])


def test_the_earliest_step_and_the_nearest_field_to_the_cause_are_named(make_run: Any) -> None:
    found = first_divergence(*pair(make_run, losses=(4.0, 3.0, 2.0), weight=0.25))
    assert (found["step"], found["field"]) == (2, "loss")
    assert (found["golden"], found["candidate"]) == ((3.5).hex(), (3.0).hex())
    assert found["first_parameters_step"] == 2


def test_it_names_the_field_that_compare_names(make_run: Any) -> None:
    golden, candidate = pair(make_run, losses=(3.0, 3.5, 3.25), learning_rate=0.25)
    compared = compare(golden.path, candidate.path)
    assert compared.difference is not None
    traces = next(child for child in compared.difference.children if child.where == "trace.jsonl")
    found = first_divergence(golden, candidate)
    assert (found["step"], found["field"]) == (1, "learning_rate")
    assert traces.children[0].children[0].where == found["field"]
    assert found["what"] in traces.children[0].note


def test_the_first_differing_tensor_and_element_are_named(make_run: Any) -> None:
    tensor = first_divergence(*pair(make_run, weight=0.25))["tensor"]
    assert (tensor["name"], tensor["golden"], tensor["candidate"]) == ("a", "0x1p-1", "0x1p-2")
    assert "first at [0, 0]" in tensor["note"]


def test_a_tensors_name_that_is_no_text_is_escaped(make_run: Any) -> None:
    golden, candidate = make_run("golden"), make_run("candidate")
    weights = candidate / "golden" / "adapter_model.safetensors"
    data = weights.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["\ud83d"] = {"dtype": "F32", "shape": [0], "data_offsets": [len(data) - 8 - length] * 2}
    text = json.dumps(header).encode()
    weights.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    found = first_divergence(read_run(golden, "golden"), read_run(candidate, "candidate"))
    assert found["tensor"]["name"] == r"\ud83d"


def test_a_shorter_trace_that_agrees_is_told(make_run: Any) -> None:
    found = first_divergence(*pair(make_run, losses=(4.0, 3.5)))
    assert found["step"] is None
    assert "3 and 2 steps" in found["note"]


def test_a_missing_trace_is_told(make_run: Any) -> None:
    golden, candidate = pair(make_run)
    (candidate.path / "golden" / "trace.jsonl").unlink()
    found = first_divergence(golden, read_run(candidate.path, "candidate"))
    assert "not known" in found["note"]
    assert found["artifacts"] == ["golden/trace.jsonl"]


def test_other_files_alone_are_told(make_run: Any) -> None:
    found = first_divergence(*pair(make_run, train_loss=3.25))
    assert found["tensor"] is None
    assert "only the files named differ" in found["note"]


def damaged(path: Path, content: bytes) -> Run:
    (path / "golden" / "adapter_model.safetensors").write_bytes(content)
    write_summary(RunFolder(path))
    return read_run(path, "candidate")


def test_an_adapter_that_cannot_be_read_is_told(make_run: Any) -> None:
    golden, candidate = pair(make_run)
    found = first_divergence(golden, damaged(candidate.path, b"not tensors"))
    assert found["tensor"]["name"] is None
    assert "safetensors" in found["tensor"]["note"]
