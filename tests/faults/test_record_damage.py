"""Damage planted in run folders and checkpoints, as a disk or a stranger would: each is caught and named."""

import hashlib
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.canonical.digests import sha256_listing
from samebits.canonical.json_bytes import dump_json
from samebits.errors import CheckpointError, RecordError
from samebits.record.checkpoint import Checkpoint, latest_checkpoint, read_checkpoint, write_checkpoint
from samebits.record.documents import results_document, write_golden
from samebits.record.files import read_object
from samebits.record.layout import RunFolder
from samebits.record.manifest import check_summary, golden_checksums, read_summary
from samebits.record.trace import FIRST_PREVIOUS_SHA256, step_record, trace_bytes

DIGEST = "0" * 64
ADAPTER_CONFIG = {
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "bias": "none",
    "fan_in_fan_out": False, "init_lora_weights": True, "modules_to_save": None, "target_modules": ["q"],
    "use_dora": False, "use_rslora": False,
}  # fmt: skip

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="FIFOs, sockets and links of POSIX")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    record = step_record(
        step=1, sample_ids=[0], token_sha256=DIGEST, loss=1.5, grad_norm=1.0, learning_rate=0.1, n_target_tokens=3,
        gradients_sha256=DIGEST, parameters_sha256=DIGEST, optimizer_sha256=DIGEST,
        previous_sha256=FIRST_PREVIOUS_SHA256,
    )  # fmt: skip
    write_golden(
        run,
        recipe={"record_version": 1},
        training_args={"seed": 1},
        results=results_document(1.5, None, n_steps=1, n_target_tokens=3, trace_root_sha256="0" * 64),
        trace=trace_bytes([record]),
        generations=[{"prompt": "a"}],
        adapter_config=ADAPTER_CONFIG,
        adapter={"a": np.arange(64, dtype=np.float32)},
    )
    write_checkpoint(run, 1, {"a": np.arange(64, dtype=np.float32)}, {"epoch": 0}, recipe_sha256=DIGEST)
    write_checkpoint(run, 2, {"a": np.ones(64, np.float32)}, {"epoch": 1}, recipe_sha256=DIGEST)
    assert check_summary(run) == []
    return run


def _read(run: RunFolder) -> Checkpoint:
    path = latest_checkpoint(run)
    assert path is not None
    return read_checkpoint(path, DIGEST)


def _flip(path: Path, place: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))


def _exchange(one: Path, other: Path) -> None:
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def _rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_bytes(dump_json(document))


# Each fault of a golden file: what is done in the folder, and the lines that check_summary must give.
GOLDEN_FAULTS: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "a flipped bit": (lambda g: _flip(g / "adapter_model.safetensors"), ["adapter_model.safetensors: changed after"]),
    "a flipped first bit": (lambda g: _flip(g / "recipe.json", 0), ["recipe.json: changed after"]),
    "truncated": (lambda g: os.truncate(g / "trace.jsonl", 100), ["trace.jsonl: truncated, 100 of"]),
    "emptied": (lambda g: os.truncate(g / "trace.jsonl", 0), ["trace.jsonl: truncated, 0 of"]),
    "grown": (lambda g: os.truncate(g / "recipe.json", 100), ["recipe.json: grown after recording, 100 bytes"]),
    "missing": (lambda g: (g / "results.json").unlink(), ["results.json: missing"]),
    "renamed": (lambda g: (g / "results.json").rename(g / "r.json"), ["results.json: renamed to golden/r.json"]),
    "moved deeper": (
        lambda g: (g / "x").mkdir() or (g / "results.json").rename(g / "x" / "results.json"),
        ["results.json: renamed to golden/x/results.json"],
    ),
    "exchanged": (
        lambda g: _exchange(g / "recipe.json", g / "results.json"),
        ["recipe.json: holds the content of golden/results", "results.json: holds the content of golden/recipe"],
    ),
    "extra": (lambda g: (g / "x.bin").write_bytes(b""), ["x.bin: extra file"]),
    "extra, of an unfinished name": (lambda g: (g / ".partial-x").write_bytes(b""), [".partial-x: extra file"]),
    "extra, deep": (
        lambda g: (g / "a" / "b").mkdir(parents=True) or (g / "a" / "b" / "x").write_bytes(b"x"),
        ["a/b/x: extra file"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", GOLDEN_FAULTS)
def test_damage_of_a_golden_file_is_named(run: RunFolder, fault: str) -> None:
    plant, said = GOLDEN_FAULTS[fault]
    plant(run.golden)
    lines = check_summary(run)
    assert len(lines) == len(said)
    assert all(line.startswith(f"golden/{start}") for line, start in zip(lines, said, strict=True)), lines


def _sparse(path: Path, size_bytes: int) -> None:
    path.unlink(missing_ok=True)
    path.touch()
    os.truncate(path, size_bytes)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        # A socket's path is short: bound from its own folder.
        here = Path.cwd()
        os.chdir(path.parent)
        try:
            bound.bind(path.name)
        finally:
            os.chdir(here)


def _link(path: Path, target: Path | str) -> None:
    if path.exists():
        path.rename(path.parent.parent / f"kept-{path.name}")
    path.symlink_to(target)


# What a folder of a stranger may hold in place of, or beside, the file `path`; and what must be said of it.
STRANGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a link to a file outside": (lambda path: _link(path, "/etc/hostname"), "no links"),
    "a link to its own content": (lambda path: _link(path, path.parent.parent / f"kept-{path.name}"), "no links"),
    "a link to nothing": (lambda path: _link(path, "nothing"), "no links"),
    "a link to a device": (lambda path: _link(path, "/dev/zero"), "no links"),
    "a link to a folder": (lambda path: _link(path.with_name("sub"), path.parent), "no links"),
    "a FIFO": (lambda path: path.unlink() or os.mkfifo(path), "regular files only, got a FIFO"),
    "a socket": (lambda path: path.unlink() or _socket(path), "regular files only, got a socket"),
    "a backslash": (lambda path: path.with_name("a\\b").touch(), "any other character"),
    "a drive letter": (lambda path: path.with_name("c:x").touch(), "any other character"),
    "a line feed": (lambda path: path.with_name("a\nb").touch(), "any other character"),
    "bytes that are no text": (lambda path: Path(os.fsdecode(bytes(path.parent) + b"/\xff")).touch(), "any other"),
    "a device of Windows": (lambda path: path.with_name("aux.json").touch(), "name of a device"),
    "a path too deep": (lambda path: path.parent.joinpath(*"abcdefgh").mkdir(parents=True), "8 segments"),
}


@on_posix
@pytest.mark.parametrize("fault", STRANGE)
def test_a_strange_golden_folder_is_refused(run: RunFolder, fault: str) -> None:
    plant, said = STRANGE[fault]
    plant(run.golden / "results.json")
    with pytest.raises(RecordError, match=said):
        golden_checksums(run)
    with pytest.raises(RecordError, match=said):
        check_summary(run)


@on_posix
@pytest.mark.parametrize("fault", STRANGE)
def test_a_strange_checkpoint_is_refused(run: RunFolder, fault: str) -> None:
    plant, said = STRANGE[fault]
    plant(run.checkpoints / "step-00000002" / "state.json")
    with pytest.raises(CheckpointError, match=rf"{said}.*delete .*step-00000002 to fall back"):
        _read(run)
    assert read_checkpoint(run.checkpoints / "step-00000001", DIGEST).step == 1


@on_posix
@pytest.mark.parametrize("folder", ["golden", "checkpoints", "checkpoints/step-00000002"])
def test_a_folder_that_is_a_link_is_refused(run: RunFolder, folder: str, tmp_path: Path) -> None:
    (run.path / folder).rename(tmp_path / "elsewhere")
    (run.path / folder).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match=r"no links|not a link"):
        golden_checksums(run) if folder == "golden" else _read(run)
    if folder != "golden":
        with pytest.raises(CheckpointError, match=r"no links|not a link"):
            read_checkpoint(run.checkpoints / "step-00000002", DIGEST)


@on_posix
@pytest.mark.parametrize("linked", ["golden", "golden/recipe.json"])
def test_a_file_asked_for_by_name_is_not_read_through_a_link(run: RunFolder, linked: str, tmp_path: Path) -> None:
    (run.path / linked).rename(tmp_path / "elsewhere")
    (run.path / linked).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match="no links"):
        read_object(run.path, "golden/recipe.json")


@on_posix
@pytest.mark.parametrize("target", ["kept", "nothing"])
def test_a_summary_that_is_a_link_is_no_summary(run: RunFolder, target: str) -> None:
    run.summary.rename(run.path / "kept")
    run.summary.symlink_to(target)
    with pytest.raises(RecordError, match="no links" if target == "kept" else "must have artifact_summary"):
        read_summary(run)


@on_posix
@pytest.mark.parametrize("folder", ["golden", "checkpoints", "checkpoints/step-00000002"])
def test_a_folder_that_is_a_file_is_refused(run: RunFolder, folder: str, tmp_path: Path) -> None:
    (run.path / folder).rename(tmp_path / "elsewhere")
    (run.path / folder).write_bytes(b"")
    with pytest.raises(RecordError, match="folder"):
        golden_checksums(run) if folder == "golden" else _read(run)


@on_posix
def test_a_run_may_be_reached_through_a_link(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(run.path)
    assert check_summary(RunFolder(tmp_path / "link")) == []
    assert _read(RunFolder(tmp_path / "link")).step == 2


@pytest.mark.parametrize(
    ("file", "limit_bytes"),
    [
        ("golden/recipe.json", 16 << 20),
        ("golden/trace.jsonl", 256 << 20),
        ("golden/adapter_model.safetensors", 64 << 30),
    ],
)
def test_an_oversized_file_is_refused_unread(run: RunFolder, file: str, limit_bytes: int) -> None:
    try:
        _sparse(run.path / file, limit_bytes + 1)
    except OSError as error:
        pytest.skip(f"no sparse file of {limit_bytes} bytes here: {error}")
    with pytest.raises(RecordError, match=f"at most {limit_bytes} bytes, got {limit_bytes + 1}"):
        check_summary(run)


def test_an_oversized_file_of_a_checkpoint_is_refused(run: RunFolder) -> None:
    _sparse(run.checkpoints / "step-00000002" / "manifest.json", (16 << 20) + 1)
    with pytest.raises(CheckpointError, match="at most 16777216 bytes"):
        _read(run)


ODD_PATHS = [
    "golden/../../outside", "/etc/passwd", "golden\\recipe.json", "C:/golden/x", "golden/c:x", "golden//x",
    "golden/./x", "golden/", "", "golden/nul", "golden/x.", "../golden/recipe.json",
    "golden/\u0000", "golden/" + "x" * 129,
]  # fmt: skip


@pytest.mark.parametrize("path", ODD_PATHS)
def test_a_path_out_of_the_folder_in_the_summary_is_refused(run: RunFolder, path: str) -> None:
    """With the digest that belongs to it: a forger computes it too."""

    def change(document: dict[str, Any]) -> None:
        document["artifact_checksums"][path] = {"sha256": DIGEST, "bytes": 1}
        digests = {name: entry["sha256"] for name, entry in document["artifact_checksums"].items()}
        document["golden_digest"] = sha256_listing(digests)

    _rewrite(run.summary, change)
    with pytest.raises(RecordError, match="a path must"):
        read_summary(run)


@pytest.mark.parametrize("path", ODD_PATHS)
def test_a_path_out_of_the_folder_in_a_manifest_is_refused(run: RunFolder, path: str) -> None:
    manifest = run.checkpoints / "step-00000002" / "manifest.json"
    _rewrite(manifest, lambda document: document["files"].update({path: {"sha256": DIGEST, "bytes": 1}}))
    with pytest.raises(CheckpointError, match="a path must"):
        _read(run)


BAD_JSON: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "one JSON value"),
    "cut": (b'{"record_version":1', "one JSON value"),
    "an array": (b"[]", "one JSON object"),
    "deep": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "one JSON value|64 deep"),
    "a little too deep": (b'{"a":' + b"[" * 65 + b"]" * 65 + b"}", "64 deep"),
    "duplicate keys": (b'{"record_version":1,"record_version":1}', "twice"),
    "no number": (b'{"a":NaN}', "NaN"),
    "no text": (b'{"a":"\xc3"}', "UTF-8"),
    "UTF-16": ('{"a":1}'.encode("utf-16"), "UTF-8"),
    "a pickle": (b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94.", "UTF-8"),
}


@pytest.mark.parametrize("fault", BAD_JSON)
def test_json_that_is_none_is_refused_everywhere(run: RunFolder, fault: str) -> None:
    data, said = BAD_JSON[fault]
    checkpoint = run.checkpoints / "step-00000002"
    for path in (run.summary, run.golden / "recipe.json", checkpoint / "manifest.json"):
        path.write_bytes(data)
    with pytest.raises(RecordError, match=said):
        read_summary(run)
    with pytest.raises(RecordError, match=said):
        read_object(run.path, "golden/recipe.json")
    with pytest.raises(CheckpointError, match=rf"(?:{said}).*to fall back"):
        _read(run)


def _seal(folder: Path) -> None:
    """Write the manifest that belongs to what now lies in a checkpoint."""

    def change(document: dict[str, Any]) -> None:
        for name in document["files"]:
            data = (folder / name).read_bytes()
            document["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}

    _rewrite(folder / "manifest.json", change)


def _seal_shape(folder: Path, shape: list[int], n_bytes: int) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, n_bytes]}}).encode()
    (folder / "tensors.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(n_bytes))
    _seal(folder)


CHECKPOINT_FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a flipped bit of a tensor": (lambda c: _flip(c / "tensors.safetensors"), r"tensors\.safetensors: changed"),
    "a flipped bit of a header": (lambda c: _flip(c / "tensors.safetensors", 20), r"tensors\.safetensors: changed"),
    "a flipped bit of the state": (lambda c: _flip(c / "state.json", 10), r"state\.json: changed"),
    "a flipped digit of the recipe": (
        lambda c: _rewrite(c / "manifest.json", lambda d: d.update(recipe_sha256="1" * 64)),
        "of the recipe that is resumed",
    ),
    "truncated tensors": (lambda c: os.truncate(c / "tensors.safetensors", 100), "truncated, 100 of"),
    "missing tensors": (lambda c: (c / "tensors.safetensors").unlink(), r"tensors\.safetensors: missing"),
    "missing state": (lambda c: (c / "state.json").unlink(), r"state\.json: missing"),
    "missing manifest": (lambda c: (c / "manifest.json").unlink(), "must be there"),
    "nothing in it": (lambda c: [path.unlink() for path in c.iterdir()], "must be there"),
    "renamed": (lambda c: (c / "state.json").rename(c / "s.json"), r"state\.json: renamed to s\.json"),
    "exchanged": (lambda c: _exchange(c / "state.json", c / "tensors.safetensors"), "holds the content of"),
    "extra": (lambda c: (c / "x").touch(), "x: extra file"),
    "extra, of an unfinished name": (lambda c: (c / ".partial-x").touch(), "x: extra file"),
    "extra, deep": (lambda c: (c / "d").mkdir() or (c / "d" / "x").touch(), "d/x: extra file"),
    "of another step": (
        lambda c: _exchange(c / "manifest.json", c.with_name("step-00000001") / "manifest.json"),
        "that of step 2",
    ),
    "the tensors of another step": (
        lambda c: _exchange(c / "tensors.safetensors", c.with_name("step-00000001") / "tensors.safetensors"),
        r"tensors\.safetensors: changed",
    ),
    "sealed, but no tensors": (
        lambda c: (c / "tensors.safetensors").write_bytes(b"\xff" * 16) and _seal(c),
        "header must fit",
    ),
    "sealed, with too many dimensions": (lambda c: _seal_shape(c, [1] * 65, 4), "shape must be one that NumPy has"),
    "sealed, with a huge dimension": (lambda c: _seal_shape(c, [0, 2**70], 0), "shape must be one that NumPy has"),
    "sealed, with a huge size": (lambda c: _seal_shape(c, [0, 2**62, 8], 0), "shape must be one that NumPy has"),
    "sealed, but no state": (lambda c: (c / "state.json").write_bytes(b"[]\n") and _seal(c), "one JSON object"),
}


@pytest.mark.parametrize("fault", CHECKPOINT_FAULTS)
def test_a_damaged_checkpoint_is_refused_and_not_passed_over(run: RunFolder, fault: str) -> None:
    assert _read(run).step == 2
    plant, said = CHECKPOINT_FAULTS[fault]
    plant(run.checkpoints / "step-00000002")
    with pytest.raises(CheckpointError, match=rf"{said}.*(?:to fall back|start a new run)"):
        _read(run)


def test_every_flipped_bit_of_a_checkpoint_is_seen(run: RunFolder) -> None:
    folder = run.checkpoints / "step-00000002"
    for file in sorted(folder.iterdir()):
        whole = file.read_bytes()
        for place in range(0, len(whole), 5):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << (place % 8)
            file.write_bytes(bytes(damaged))
            with pytest.raises(CheckpointError):
                _read(run)
        file.write_bytes(whole)
    assert _read(run).step == 2
