"""Damage planted into finished runs: each is caught, named for what it is, and never ends in a traceback."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from samebits.canonical.digests import sha256_bytes, sha256_listing
from samebits.canonical.safetensors_file import TensorFile, write_safetensors
from samebits.cli.compare import command
from samebits.record.documents import results_document, write_golden, write_observed
from samebits.record.layout import RunFolder
from samebits.record.trace import FIRST_PREVIOUS_SHA256, step_record, trace_bytes

ADAPTER = "adapter_model.safetensors"
ADAPTER_CONFIG = {
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "bias": "none",
    "fan_in_fan_out": False, "init_lora_weights": True, "modules_to_save": None, "target_modules": ["c_attn"],
    "use_dora": False, "use_rslora": False,
}  # fmt: skip
Plant = Callable[[Path], Any]


def write_run(path: Path, *, seed: int = 42, recipe_seed: int | None = None, shift: float = 0.0) -> Path:
    """Write a finished run; `seed` moves data order, trace and adapter, `shift` one gradient from step 3 on."""
    records: list[dict[str, Any]] = []
    previous_sha256 = FIRST_PREVIOUS_SHA256
    for step in range(1, 7):
        moved = f"{shift if step >= 3 else 0} {seed}"
        records.append(
            step_record(
                step=step,
                sample_ids=[(step * seed) % 28, (step + seed) % 28],
                token_sha256=sha256_bytes(f"tokens {step} {seed}".encode()),
                loss=3.0 / step + seed / 1024 + (shift if step >= 4 else 0),
                grad_norm=1.0,
                learning_rate=0.001 / step,
                gradients_sha256=sha256_bytes(f"gradients {step} {moved}".encode()),
                parameters_sha256=sha256_bytes(f"parameters {step} {moved}".encode()),
                optimizer_sha256=sha256_bytes(f"optimizer {step} {moved}".encode()),
                n_target_tokens=100,
                previous_sha256=previous_sha256,
            )
        )
        previous_sha256 = records[-1]["sha256"]
    rng = np.random.default_rng(seed)
    adapter = {f"layer.{i}.lora_{k}": rng.standard_normal((4, 8)).astype(np.float32) for i in range(2) for k in "AB"}
    adapter["layer.0.lora_A"][2, 5] += np.float32(shift)
    run = RunFolder(path)
    run.path.mkdir()
    write_observed(run, env={"time_zone": "UTC"}, execution={"n_threads": 2}, training_metadata={"host": path.name})
    write_golden(
        run,
        recipe={"record_version": 1, "numerics": "stock", "settings": {"seed": recipe_seed or seed, "lora_r": 16}},
        training_args={"seed": recipe_seed or seed},
        results=results_document(1.5 + shift, None, n_steps=6, n_target_tokens=600, trace_root_sha256="0" * 64),
        trace=trace_bytes(records),
        generations=[{"prompt": text, "text": text * 2} for text in ("a", "b", "c")],
        adapter_config=ADAPTER_CONFIG,
        adapter=adapter,
    )
    return path


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    return write_run(tmp_path / "golden")


@pytest.fixture
def candidate(tmp_path: Path) -> Path:
    return write_run(tmp_path / "candidate")


def compared(golden: Path, candidate: Path) -> tuple[int, str]:
    """Return exit code and text of the command; the JSON form must agree with it."""
    result = CliRunner().invoke(command, [str(golden), str(candidate)])
    as_json = CliRunner().invoke(command, ["--json", str(golden), str(candidate)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert as_json.exit_code == result.exit_code
    verdict = {0: "SAME", 1: "DIFFERENT", 2: "UNDECIDED"}[result.exit_code]
    assert json.loads(as_json.stdout)["verdict"] == verdict.lower()
    assert result.stdout.startswith(f"{verdict}  ")
    assert all(line.isprintable() for line in result.stdout.split("\n"))
    return result.exit_code, result.stdout


def rewrite(run: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    path = run / "golden" / name
    path.write_bytes(change(path.read_bytes()))


def change_tensors(change: Callable[[dict[str, Any]], Any]) -> Plant:
    def plant(run: Path) -> None:
        path = run / "golden" / ADAPTER
        file = TensorFile(path)
        tensors = {name: file.array(name).copy() for name in file.tensors}
        change(tensors)
        write_safetensors(path, tensors)

    return plant


def flip_a_bit(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[-7] ^= 0x10
    return bytes(changed)


def fill(tensors: dict[str, Any], name: str, value: float) -> None:
    tensors[name][:] = value


def swap(tensors: dict[str, Any], one: str, other: str) -> None:
    tensors[one], tensors[other] = tensors[other], tensors[one]


def of_version_2(data: bytes) -> bytes:
    return data.replace(b'"record_version":1', b'"record_version":2')


def exchange_files(run: Path) -> None:
    one, other = run / "golden" / "results.json", run / "golden" / "training_args.json"
    data = one.read_bytes(), other.read_bytes()
    one.write_bytes(data[1])
    other.write_bytes(data[0])


def exchange_lines(data: bytes) -> bytes:
    lines = data.split(b"\n")
    lines[0], lines[1] = lines[1], lines[0]
    return b"\n".join(lines)


def replace_by_link(run: Path) -> None:
    path = run / "golden" / "results.json"
    path.unlink()
    path.symlink_to("../../golden/golden/results.json")


def replace_by_pipe(run: Path) -> None:
    path = run / "golden" / "trace.jsonl"
    path.unlink()
    os.mkfifo(path)


def link_golden_folder(run: Path) -> None:
    shutil.rmtree(run / "golden")
    (run / "golden").symlink_to("../golden/golden")


def edit_summary(change: Callable[[dict[str, Any]], Any]) -> Plant:
    def plant(run: Path) -> None:
        path = run / "artifact_summary.json"
        summary = json.loads(path.read_bytes())
        change(summary)
        path.write_text(json.dumps(summary))

    return plant


def point_outside(summary: dict[str, Any]) -> None:
    checksums = summary["artifact_checksums"]
    checksums["golden/../../../etc/passwd"] = checksums.pop("golden/results.json")


def forge(summary: dict[str, Any]) -> None:
    checksums = summary["artifact_checksums"]
    checksums["golden/results.json"]["sha256"] = "0" * 64
    summary["golden_digest"] = sha256_listing({path: entry["sha256"] for path, entry in checksums.items()})


def header_that_lies(data: bytes) -> bytes:
    return struct.pack("<Q", 1 << 62) + data[8:]


def oversized_shape(data: bytes) -> bytes:
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    header["layer.0.lora_A"]["shape"] = [1 << 40, 1 << 40]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


FAULTS: dict[str, tuple[Plant, int, list[str]]] = {
    "flipped bit": (
        lambda run: rewrite(run, ADAPTER, flip_a_bit),
        1,
        ["layer.1.lora_B: F32 [4, 8], first at [3, 6]: 1 of 32 elements", "one bit flipped (bit 12)",
         "changed after recording", "as recorded it had the golden's bytes"],
    ),
    "NaN everywhere": (
        change_tensors(lambda t: fill(t, "layer.0.lora_B", float("nan"))),
        1,
        ["layer.0.lora_B: F32", "every element is NaN where the golden has numbers", "candidate nan (0x7fc00000)"],
    ),
    "one NaN": (
        change_tensors(lambda t: fill(t, "layer.0.lora_B", np.where(np.arange(8) == 3, np.nan, t["layer.0.lora_B"]))),
        1,
        ["first at [0, 3]: 4 of 32 elements; 4 are NaN where the golden has numbers"],
    ),
    "swapped tensors": (
        change_tensors(lambda t: swap(t, "layer.0.lora_A", "layer.1.lora_A")),
        1,
        ["layer.0.lora_A and layer.1.lora_A: these two tensors are exchanged"],
    ),
    "renamed tensor": (
        change_tensors(lambda t: t.update({"base.layer.0.lora_A": t.pop("layer.0.lora_A")})),
        1,
        ["layer.0.lora_A: the same tensor under another name", "now base.layer.0.lora_A"],
    ),
    "missing tensor": (
        change_tensors(lambda t: t.pop("layer.0.lora_A")), 1, ["layer.0.lora_A: the candidate lacks this tensor"],
    ),
    "another dtype": (
        change_tensors(lambda t: t.update({"layer.0.lora_A": t["layer.0.lora_A"].astype(np.float16)})),
        1,
        ["layer.0.lora_A: another dtype", "golden F32   candidate F16"],
    ),
    "transposed shape": (
        change_tensors(lambda t: t.update({"layer.0.lora_A": t["layer.0.lora_A"].reshape(8, 4)})),
        1,
        ["another shape, the same elements in the same order", "golden [4, 8]   candidate [8, 4]"],
    ),
    "truncated adapter": (
        lambda run: rewrite(run, ADAPTER, lambda data: data[:-20]),
        1,
        ["truncated: the first", "3 of 4 tensors are whole, it ends inside layer.1.lora_B", "bytes are left"],
    ),
    "adapter cut to zero bytes": (
        lambda run: rewrite(run, ADAPTER, lambda _: b""), 1, [f"{ADAPTER}: the candidate is empty"],
    ),
    "adapter zeroed by a crash": (
        lambda run: rewrite(run, ADAPTER, lambda data: bytes(len(data))),
        1,
        ["from there on the candidate is all zero bytes", "not comparable as tensors"],
    ),
    "header that lies": (
        lambda run: rewrite(run, ADAPTER, header_that_lies), 1, ["the safetensors header must fit in the file"],
    ),
    "shape beyond the file": (
        lambda run: rewrite(run, ADAPTER, oversized_shape), 1, ["the tensor must have"],
    ),
    "missing file": (
        lambda run: (run / "golden" / "results.json").unlink(),
        1,
        ["results.json: the candidate lacks this file", "results.json: missing"],
    ),
    "extra file": (
        lambda run: (run / "golden" / "notes.txt").write_text("x"),
        1,
        ["notes.txt: the golden has no such file", "extra file, not in the summary"],
    ),
    "renamed file": (
        lambda run: (run / "golden" / ADAPTER).rename(run / "golden" / "adapter.safetensors"),
        1,
        [f"{ADAPTER}: the same file under another name", "now adapter.safetensors"],
    ),
    "swapped files": (exchange_files, 1, ["results.json and training_args.json: these two files are exchanged"]),
    "swapped samples": (
        lambda run: rewrite(run, "generations.jsonl", exchange_lines),
        1,
        ["generations.jsonl: lines 1 and 2 are exchanged, every line is otherwise the same"],
    ),
    "hand-edited loss": (
        lambda run: rewrite(run, "results.json", lambda data: data.replace(b'"train_loss":1.5', b'"train_loss":1.4')),
        1,
        ["train_loss: ", "golden 1.5   candidate 1.4", "the candidate was changed after its run: 1 of 7 golden files",
         "note: the candidate's summary states the golden digest: when its run ended, it had the golden bits"],
    ),
    "hand-edited trace": (
        lambda run: rewrite(run, "trace.jsonl", lambda data: data.replace(b'"step":2', b'"step":9')),
        1,
        ["trace.jsonl: the candidate's chain is broken, so it was changed after the run", "line 2", "step: golden 2"],
    ),
    "reordered trace": (
        lambda run: rewrite(run, "trace.jsonl", exchange_lines), 1, ["lines 1 and 2 are exchanged"],
    ),
    "trace cut at a line": (
        lambda run: rewrite(run, "trace.jsonl", lambda data: data[: data.index(b"\n", 2000) + 1]),
        1,
        ["of 6 lines are whole"],
    ),
    "converted to CRLF": (
        lambda run: rewrite(run, "generations.jsonl", lambda data: data.replace(b"\n", b"\r\n")),
        1,
        ["generations.jsonl: the same text; line ends became CRLF", "as bytes, not as text"],
    ),
    "byte order mark": (
        lambda run: rewrite(run, "results.json", lambda data: b"\xef\xbb\xbf" + data),
        1,
        ["results.json: the same text; a byte order mark was added"],
    ),
    "final line feed removed": (
        lambda run: rewrite(run, "results.json", lambda data: data[:-1]),
        1,
        ["results.json: the same text; the final line feed was removed"],
    ),
    "pretty-printed JSON": (
        lambda run: rewrite(run, "results.json", lambda data: json.dumps(json.loads(data), indent=2).encode()),
        1,
        ["results.json: the same values, other layout: white space"],
    ),
    "reordered keys": (
        lambda run: rewrite(run, "results.json", lambda d: json.dumps(dict(reversed(json.loads(d).items()))).encode()),
        1,
        ["results.json: the same values, other layout: order of keys"],
    ),
    "bad UTF-8": (
        lambda run: rewrite(run, "generations.jsonl", lambda data: data.replace(b'"b"', b'"\xff"')),
        1,
        ["not UTF-8: byte 0xff"],
    ),
    "escape sequences": (
        lambda run: rewrite(run, "training_args.json", lambda _: b'{"\\u001b[2J":"\\u001b]0;x\\u0007"}'),
        1,
        ["\\x1b[2J: the golden has no such key"],
    ),
    "escape sequences in a name": (
        lambda run: (run / "golden" / "\x1b[31mred").write_text("x"), 1, ["\\x1b[31mred: the golden has no such file"],
    ),
    "deep JSON": (
        lambda run: rewrite(run, "results.json", lambda _: b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
        1,
        ["results.json: first different byte", "not comparable as JSON"],
    ),
    "huge sparse file": (
        lambda run: os.truncate(run / "golden" / "results.json", 1 << 40),
        1,
        ["results.json: all of the golden's bytes, then 1,099,511,",
         "results.json: grown after recording, 1099511627776 bytes for",
         "candidate  no digest: not every file was read"],
    ),
    "missing recipe": (
        lambda run: (run / "golden" / "recipe.json").unlink(), 2, ["recipe.json: cannot tell", "no readable recipe"],
    ),
    "unreadable recipe": (
        lambda run: rewrite(run, "recipe.json", lambda data: data[:-10]),
        2,
        ["recipe.json: cannot tell: the candidate has no readable recipe", "truncated: the first"],
    ),
    "recipe of another version": (
        lambda run: rewrite(run, "recipe.json", of_version_2),
        2,
        ["recipe.json: cannot tell: the candidate has a recipe of an unknown version: record_version must be 1, got 2",
         "next: compare them with a samebits that knows this record_version"],
    ),
    "missing recipe beside a flipped bit": (
        lambda run: (rewrite(run, ADAPTER, flip_a_bit), (run / "golden" / "recipe.json").unlink()),
        2,
        ["recipe.json: cannot tell", "one bit flipped"],
    ),
    "link out of the run folder": (
        replace_by_link, 2, ["results.json: cannot tell: the candidate has a symbolic link", "../../golden/golden"],
    ),
    "pipe": (replace_by_pipe, 2, ["trace.jsonl: cannot tell: the candidate has a FIFO here"]),
    "golden folder is a link": (link_golden_folder, 2, ["golden/ must be a plain folder, got a symbolic link"]),
    "summary edited": (
        edit_summary(lambda s: s["artifact_checksums"]["golden/results.json"].update(sha256="0" * 64)),
        2,
        ["candidate's own artifact_summary.json: cannot tell: golden_digest must be that of the listed files"],
    ),
    "summary edited throughout": (
        edit_summary(forge), 1, ["results.json: changed after recording", "the candidate was changed after its run"],
    ),
    "summary with a path out of the run folder": (
        edit_summary(point_outside),
        2,
        ["candidate's own artifact_summary.json: cannot tell: a path must be relative", "../../../etc/passwd"],
    ),
    "summary truncated": (
        lambda run: os.truncate(run / "artifact_summary.json", 40),
        2,
        ["candidate's own artifact_summary.json: cannot tell: the file must be one JSON value"],
    ),
    "no summary": (
        lambda run: (run / "artifact_summary.json").unlink(),
        2,
        ["candidate's own artifact_summary.json: cannot tell: missing: the run was not finished", "--resume"],
    ),
    "killed before golden": (
        lambda run: (shutil.rmtree(run / "golden"), (run / "artifact_summary.json").unlink()),
        2,
        ["cannot tell: the candidate has no golden/: its run was not finished", "--resume"],
    ),
    "golden deleted": (
        lambda run: shutil.rmtree(run / "golden"),
        2,
        ["cannot tell: the candidate has a summary and no golden/", "next: fetch golden/ again"],
    ),
    "no such run": (shutil.rmtree, 2, ["cannot tell: the path must exist, got nothing there"]),
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("fault", list(FAULTS))
def test_fault_is_caught_and_named(golden: Path, candidate: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The real bound is gigabytes: reading so much zero is a matter of time only.
    monkeypatch.setattr("samebits.verify.plain_files.MAX_EXCESS_BYTES", 16 << 20)
    assert compared(golden, candidate)[0] == 0
    plant, expected_code, words = FAULTS[fault]
    plant(candidate)
    code, text = compared(golden, candidate)
    for word in words:
        assert word in text
    assert code == expected_code


def test_another_seed_is_told_by_the_recipe_and_the_trace(golden: Path, tmp_path: Path) -> None:
    code, text = compared(golden, write_run(tmp_path / "other", seed=43))
    assert code == 1
    assert "    seed: golden 42   candidate 43\n" in text
    assert "step 1 of 6 is the first that differs; the step was fed other samples" in text
    assert "4 of 4 tensors differ" in text
    assert "next: the recipes differ in settings.seed" in text
    assert "artifact_summary" not in text


def test_another_seeds_trace_under_the_same_recipe(golden: Path, tmp_path: Path) -> None:
    code, text = compared(golden, write_run(tmp_path / "other", seed=43, recipe_seed=42))
    assert code == 1
    assert "step 1 of 6 is the first that differs; the step was fed other samples" in text
    assert "sample_ids" in text
    assert "the recipes agree and no known factor differs" in text


def test_a_run_that_diverged_names_step_fields_tensor_and_element(golden: Path, tmp_path: Path) -> None:
    code, text = compared(golden, write_run(tmp_path / "other", shift=1e-6))
    assert code == 1
    assert "step 3 of 6 is the first that differs; the backward pass moved first: the loss is still the same" in text
    assert "step 3: the gradients, the parameters, the optimizer state differ, in the order of the step" in text
    assert "layer.0.lora_A: F32 [4, 8], first at [2, 5]: 1 of 32 elements" in text
    assert "train_loss: " in text


def test_two_runs_of_an_unknown_version_are_not_judged(golden: Path, candidate: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", seed=43)
    for run in (golden, candidate, other):
        rewrite(run, "recipe.json", of_version_2)
    for pair in ((golden, candidate), (golden, other), (golden, other / "golden")):
        code, text = compared(*pair)
        assert (code, text.count("record_version must be 1, got 2")) == (2, 2)
        assert "train both with one recipe" not in text


@pytest.mark.parametrize("side", ["golden", "candidate"])
def test_a_file_too_long_to_read_is_not_called_missing(
    golden: Path, candidate: Path, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("samebits.verify.plain_files.MAX_EXCESS_BYTES", 16 << 20)
    monkeypatch.setattr("samebits.verify.folders.MAX_EXCESS_BYTES", 16 << 20)
    grown, other = (golden, candidate) if side == "golden" else (candidate, golden)
    os.truncate(grown / "golden" / "results.json", 1 << 40)
    code, text = compared(golden, candidate)
    assert code == 1
    assert "results.json: grown after recording" in text
    assert "results.json: missing" not in text
    (other / "golden" / "results.json").unlink()
    code, text = compared(golden, candidate)
    assert code == 1
    assert text.count("results.json: grown after recording") == 1
    assert text.count("results.json: missing") == 1


def test_a_long_file_of_the_stated_size_is_called_nothing(
    golden: Path, candidate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("samebits.verify.plain_files.MAX_EXCESS_BYTES", 10)
    rewrite(candidate, ADAPTER, lambda _: b"")
    code, text = compared(golden, candidate)
    assert code == 1
    assert "the golden was changed after its run" not in text
    assert "golden     no digest: not every file was read" in text


def test_an_edited_golden_is_caught_even_where_the_candidate_follows_it(golden: Path, candidate: Path) -> None:
    for run in (golden, candidate):
        rewrite(run, ADAPTER, flip_a_bit)
    code, text = compared(golden, candidate)
    assert code == 1
    assert "golden's own artifact_summary.json: the golden was changed after its run" in text
    assert "7 of 7 files are the same" in text


def test_a_golden_that_is_damaged_is_caught_against_itself(golden: Path) -> None:
    rewrite(golden, ADAPTER, flip_a_bit)
    code, text = compared(golden, golden)
    assert code == 1
    assert "one and the same path" in text
