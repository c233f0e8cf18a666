"""Operation traces: what is written is read, and what a stranger may have changed is refused in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.canonical.digests import sha256_bytes
from samebits.canonical.json_bytes import dump_json
from samebits.canonical.safetensors_file import write_safetensors
from samebits.errors import RecordError
from samebits.record import operations
from samebits.record.layout import RunFolder
from samebits.record.operations import (
    FOLDER,
    Header,
    OperationTrace,
    Recorder,
    kept_output,
    operations_bytes,
    operations_file,
    read_operations,
    traced_steps,
    write_operations,
)

DIGEST = sha256_bytes(b"x")
HEADER = Header(
    level="op", step=7, numerics="portable-f32", numerics_version=1, isa="avx2", n_threads=2,
    libraries={"numpy": "2.0", "jinja2": None}, recipe_sha256=DIGEST, trace_line_sha256=DIGEST,
)  # fmt: skip
ARRAYS = (np.arange(6, dtype=np.float32).reshape(2, 3), np.array(-0.0, np.float32), np.array([3, 1], np.int64))
RELATIVE = operations_file(7)


@pytest.fixture
def trace() -> OperationTrace:
    places: list[dict[str, Any]] = [
        {"phase": "forward", "module": "transformer.h.0.attn.c_attn", "operation": "linear", "sample": 4},
        {"phase": "backward", "module": "", "operation": "aten::sum", "sample": 0},
        {"phase": "update", "module": "", "operation": "adamw", "sample": None},
    ]
    recorder = Recorder()
    for output, (array, place) in enumerate(zip(ARRAYS, places, strict=True)):
        recorder.add(array, output=output, **place)
    return recorder.trace(HEADER)


def test_what_is_written_is_read(tmp_path: Path, trace: OperationTrace) -> None:
    path = write_operations(tmp_path / FOLDER, trace)
    assert path == tmp_path / RELATIVE
    assert read_operations(tmp_path, RELATIVE) == trace
    assert traced_steps(RunFolder(tmp_path)) == {7: RELATIVE}
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["step-00000007.jsonl"]


def test_a_line_holds_the_digest_of_the_tensor(trace: OperationTrace) -> None:
    assert trace.outputs[0].sha256 == sha256_bytes(b"F32 [2, 3]\n" + ARRAYS[0].astype("<f4").tobytes())
    assert trace.outputs[1].sha256 == sha256_bytes(b"F32 []\n\0\0\0\x80")
    assert [output.shape for output in trace.outputs] == [(2, 3), (), (2,)]


def test_a_recorder_copies_what_it_keeps_and_nothing_else() -> None:
    recorder, array = Recorder(keep={2}), np.zeros(3, np.float32)
    for value in (1, 2, 3):
        array[:] = value
        recorder.add(array, phase="forward", module="", operation="add", sample=None, output=0)
    trace = recorder.trace(HEADER)
    assert [output.n for output in trace.outputs] == [1, 2, 3]
    assert len({output.sha256 for output in trace.outputs}) == 3
    assert trace.tensors.keys() == {2}
    assert trace.tensors[2].tolist() == [2, 2, 2]


def test_a_folder_without_traces_has_none(tmp_path: Path) -> None:
    assert traced_steps(RunFolder(tmp_path)) == {}


def test_kept_tensors_come_back_with_their_bits(tmp_path: Path, trace: OperationTrace) -> None:
    write_operations(tmp_path / FOLDER, replace(trace, tensors={2: ARRAYS[1], 3: ARRAYS[2]}))
    outputs = read_operations(tmp_path, RELATIVE).outputs
    assert kept_output(tmp_path, RELATIVE, outputs[0]) is None
    for n in (2, 3):
        found = kept_output(tmp_path, RELATIVE, outputs[n - 1])
        assert found is not None
        assert found.tobytes() == ARRAYS[n - 1].tobytes()


def test_a_second_trace_of_a_step_takes_the_place_of_the_first_with_its_tensors(
    tmp_path: Path, trace: OperationTrace
) -> None:
    write_operations(tmp_path / FOLDER, replace(trace, tensors={1: ARRAYS[0]}))
    write_operations(tmp_path / FOLDER, trace)
    assert kept_output(tmp_path, RELATIVE, trace.outputs[0]) is None
    assert read_operations(tmp_path, RELATIVE) == trace


def test_a_kept_tensor_that_was_changed_is_refused(tmp_path: Path, trace: OperationTrace) -> None:
    path = write_operations(tmp_path / FOLDER, replace(trace, tensors={1: ARRAYS[0]}))
    changed = ARRAYS[0].copy()
    changed[1, 2] = np.nextafter(changed[1, 2], np.float32(9))
    for other in (changed, ARRAYS[0].reshape(3, 2), ARRAYS[0].view(np.int32)):
        write_safetensors(path.with_suffix(".safetensors"), {"00000001": other})
        with pytest.raises(RecordError, match=r"kept tensor must be the one that the trace's line tells"):
            kept_output(tmp_path, RELATIVE, trace.outputs[0])


def test_every_flipped_bit_of_the_lines_is_refused_or_read_as_another_trace(
    tmp_path: Path, trace: OperationTrace
) -> None:
    path = write_operations(tmp_path / FOLDER, trace)
    data, n_refused = path.read_bytes(), 0
    for place in range(0, len(data), 5):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 7
        path.write_bytes(damaged)
        try:
            assert read_operations(tmp_path, RELATIVE) != trace
        except RecordError:
            n_refused += 1
    assert n_refused > len(data) // 15


def _changed(trace: OperationTrace, line: int, change: Callable[[dict[str, Any]], object]) -> bytes:
    lines = [json.loads(text) for text in operations_bytes(trace).splitlines()]
    change(lines[line])
    return b"".join(map(dump_json, lines))


@pytest.mark.parametrize(
    ("line", "key", "value", "told"),
    [
        (0, "record_version", 2, "record_version 1"),
        (0, "level", "step", "level must be one of module, op"),
        (0, "level", ["op"], "level must be one of module, op"),
        (0, "step", 0, "step must be a whole number from 1"),
        (0, "step", True, "step must be a whole number from 1"),
        (0, "n_outputs", 2, "got 3 for 2"),
        (0, "n_outputs", -1, "n_outputs must be a whole number"),
        (0, "numerics", 32, "numerics must be a profile"),
        (0, "numerics_version", "1", "numerics_version must be"),
        (0, "isa", "a\nb", "isa must be"),
        (0, "n_threads", 0, "n_threads must be 1 or more"),
        (0, "libraries", {"numpy": 2}, "libraries must map"),
        (0, "libraries", [], "libraries must map"),
        (0, "recipe_sha256", "0", "recipe_sha256 must be 64"),
        (0, "trace_line_sha256", None, "trace_line_sha256 must be 64"),
        (1, "n", 2, "n must be 1"),
        (2, "phase", "sideways", "phase must be one of"),
        (2, "phase", {}, "phase must be one of"),
        (1, "module", "a/../b", "module must be the name"),
        (1, "module", "m" * 257, "module must be the name"),
        (1, "operation", "", "operation must be a name"),
        (1, "operation", "\x1b[2J", "operation must be a name"),
        (3, "sample", -1, "sample must be"),
        (3, "output", 1.5, "output must be"),
        (1, "dtype", "float32", "dtype must be one of"),
        (1, "dtype", [], "dtype must be one of"),
        (1, "shape", [-1], "shape must be"),
        (1, "shape", [1] * 65, "shape must be"),
        (1, "shape", 3, "shape must be"),
        (3, "sha256", DIGEST.upper(), "sha256 must be 64"),
        (2, "unknown", 1, "`unknown` unknown"),
    ],
)
def test_a_strangers_line_is_refused_in_one_sentence(
    tmp_path: Path, trace: OperationTrace, line: int, key: str, value: Any, told: str
) -> None:
    path = write_operations(tmp_path / FOLDER, trace)
    path.write_bytes(_changed(trace, line, lambda document: document.update({key: value})))
    with pytest.raises(RecordError) as caught:
        read_operations(tmp_path, RELATIVE)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_refused(tmp_path: Path, trace: OperationTrace) -> None:
    path = write_operations(tmp_path / FOLDER, trace)
    for line in (0, 1):
        for key in json.loads(path.read_bytes().splitlines()[line]):
            path.write_bytes(_changed(trace, line, lambda document, key=key: document.pop(key)))  # type: ignore[misc]
            with pytest.raises(RecordError, match=f"`{key}` missing"):
                read_operations(tmp_path, RELATIVE)
            write_operations(tmp_path / FOLDER, trace)


def test_a_cut_trace_is_refused(tmp_path: Path, trace: OperationTrace) -> None:
    path = write_operations(tmp_path / FOLDER, trace)
    lines = path.read_bytes().splitlines(keepends=True)
    for data in (b"", b"\n", b"".join(lines)[:-1], b"".join(lines[:-1]), b"".join([*lines, lines[-1]])):
        path.write_bytes(data)
        with pytest.raises(RecordError):
            read_operations(tmp_path, RELATIVE)


def test_other_spellings_and_long_lines_are_refused(
    tmp_path: Path, trace: OperationTrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_operations(tmp_path / FOLDER, trace)
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"n":1,', b'"n": 1,'))
    with pytest.raises(RecordError, match="canonical JSON"):
        read_operations(tmp_path, RELATIVE)
    path.write_bytes(data.replace(b'"n":1,', b'"n":1,"pad":"' + b"x" * 4096 + b'",'))
    with pytest.raises(RecordError, match="at most 4096 bytes"):
        read_operations(tmp_path, RELATIVE)
    monkeypatch.setattr(operations, "MAX_JSON_LINES_BYTES", len(data) - 1)
    with pytest.raises(RecordError, match="trace at level module"):
        write_operations(tmp_path / FOLDER, trace)
    assert path.exists()


def test_a_link_is_refused(tmp_path: Path, trace: OperationTrace) -> None:
    written = write_operations(tmp_path / "elsewhere", trace)
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / RELATIVE).symlink_to(written)
    with pytest.raises(RecordError, match="no links"):
        read_operations(tmp_path, RELATIVE)
    (tmp_path / RELATIVE).unlink()
    write_operations(tmp_path / FOLDER, trace)
    (tmp_path / RELATIVE).with_suffix(".safetensors").symlink_to(written)
    with pytest.raises(RecordError, match="no links"):
        kept_output(tmp_path, RELATIVE, trace.outputs[0])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "observed").symlink_to(tmp_path / "observed")
    with pytest.raises(RecordError, match="no links"):
        traced_steps(RunFolder(tmp_path / "other"))
