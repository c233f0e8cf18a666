from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from samebits.canonical.digests import sha256_bytes
from samebits.canonical.safetensors_file import write_safetensors
from samebits.errors import RecordError
from samebits.verify import files
from samebits.verify.difference import Difference
from samebits.verify.files import compare_files, format_of

Pair = Callable[..., tuple[Path, Path]]
SAMPLES = {
    "a.json": (b'{"k":1}\n', b'{"k":2}\n'),
    "a.jsonl": (b'{"k":1}\n{"k":2}\n', b'{"k":1}\n{"k":3}\n'),
    "a.txt": (b"one\ntwo\n", b"one\ntvo\n"),
    "a.bin": (b"\0\1\2", b"\0\1\3"),
}


def tensor_bytes(tmp_path: Path, value: float) -> bytes:
    write_safetensors(tmp_path / "made", {"a": np.full(8, value, np.float32), "b": np.ones(8, np.float32)})
    return (tmp_path / "made").read_bytes()


@pytest.fixture(params=[*SAMPLES, "a.safetensors"])
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, bytes, bytes]:
    """A file of each format, and one that differs."""
    if request.param == "a.safetensors":
        return request.param, tensor_bytes(tmp_path, 1.0), tensor_bytes(tmp_path, 2.0)
    return request.param, *SAMPLES[request.param]


def compared(paths: tuple[Path, Path]) -> Difference:
    difference = compare_files(*paths)
    assert difference is not None
    return difference


def test_same(pair: Pair, sample: tuple[str, bytes, bytes]) -> None:
    name, golden, _ = sample
    assert compare_files(*pair(golden, golden, name)) is None


def test_known_difference_reaches_the_comparator_of_the_format(pair: Pair, sample: tuple[str, bytes, bytes]) -> None:
    name, golden, candidate = sample
    difference = compared(pair(golden, candidate, name))
    deepest = difference
    while deepest.children:
        deepest = deepest.children[0]
    expected = {
        "a.json": ("k", 1, 2),
        "a.jsonl": ("k", 2, 3),
        "a.txt": ("line 2", "two", "tvo"),
        "a.bin": ("a.bin", "02", "03"),
        "a.safetensors": ("a", "0x1p+0", "0x1p+1"),
    }
    assert (deepest.where, deepest.golden, deepest.candidate) == expected[name]
    assert difference.facts["golden_sha256"] == sha256_bytes(golden)
    assert difference.facts["candidate_sha256"] == sha256_bytes(candidate)


def test_damaged_is_told_as_truncated(pair: Pair, sample: tuple[str, bytes, bytes]) -> None:
    name, golden, _ = sample
    difference = compared(pair(golden, golden[: len(golden) // 2], name))
    assert difference.kind == "truncated"
    assert f"truncated: the first {len(golden) // 2} of {len(golden)} bytes" in difference.note
    assert compared(pair(golden, b"", name)).note == f"the candidate is empty, the golden has {len(golden)} bytes"


def test_longer_is_told_as_longer(pair: Pair, sample: tuple[str, bytes, bytes]) -> None:
    name, golden, _ = sample
    difference = compared(pair(golden, golden + b"more", name))
    assert (difference.kind, difference.note) == ("extended", "all of the golden's bytes, then 4 more")


def test_missing_is_one_sentence(pair: Pair, sample: tuple[str, bytes, bytes]) -> None:
    name, golden, candidate = sample
    paths = pair(golden, candidate, name)
    paths[1].unlink()
    with pytest.raises(RecordError, match="must be readable"):
        compare_files(*paths)


@pytest.mark.parametrize(
    ("name", "golden", "candidate", "note"),
    [
        ("a.json", b'{"a":1,"b":2}', b'{"b":2,"a":1}', "the same values, other layout: order of keys"),
        ("a.json", b'{"a":1}', b'{ "a": 1.0 }', "the same values, other layout: white space"),
        ("a.json", b'{"a":1}\n', b'{"a":1}\r\n', "the same text; line ends became CRLF"),
        ("a.json", b'{"a":1}\n', b'{"a":1}', "the same text; the final line feed was removed"),
        ("a.json", b'{"a":1}', b'{"a":NaN}', "not comparable as JSON: the file must be one JSON value in UTF-8"),
        ("a.json", b'{"a":1}', b'{"a":1,"a":2}', "the key 'a' twice"),
        ("a.json", b'{"a":1}', b"[" * 100_000, "not comparable as JSON"),
        ("a.json", b'{"a":1}', b"[" * 70 + b"]" * 70, "JSON must nest at most 64 deep"),
        ("a.json", b'{"a":1}', b'{"a":"\xff"}', "not comparable as JSON"),
        ("a.safetensors", b"not tensors", b"nor these", "not comparable as tensors: the safetensors header"),
        ("a.safetensors", bytes(20), b"\xff" * 20, "not comparable as tensors"),
        ("trace.jsonl", b'{"a":1}\n', b'{"a":2}\n', "the golden itself is not a whole trace"),
    ],
)
def test_what_a_format_explains_or_refuses_is_told(
    pair: Pair, name: str, golden: bytes, candidate: bytes, note: str
) -> None:
    assert note in compared(pair(golden, candidate, name)).note


def test_a_single_json_value_is_compared(pair: Pair) -> None:
    (child,) = compared(pair(b"1\n", b"2\n", "a.json")).children
    assert (child.where, child.golden, child.candidate) == ("the value", 1, 2)


def test_truncation_says_how_much_is_whole(pair: Pair, tmp_path: Path) -> None:
    text = b'{"k":1}\n{"k":2}\n{"k":3}\n'
    assert "1 of 3 lines are whole, line 2 is cut" in compared(pair(text, text[:12], "a.jsonl")).note
    assert compared(pair(text, text[:8], "a.jsonl")).note.endswith("1 of 3 lines are whole")
    data = tensor_bytes(tmp_path, 1.0)
    assert "1 of 2 tensors are whole, it ends inside b" in compared(pair(data, data[:-4], "a.safetensors")).note


def test_large_text_is_compared_as_bytes_and_says_so(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_TEXT_BYTES", 1 << 20)
    golden = json.dumps({"k": "x" * (1 << 21)}).encode()
    difference = compared(pair(golden, golden.replace(b"xx}", b"xy}").replace(b'x"', b'y"'), "a.json"))
    assert difference.kind == "bytes"
    assert difference.note.endswith("more than 1 MiB of JSON, compared as bytes")


@pytest.mark.parametrize(
    ("name", "data", "form"),
    [
        ("X.JSON", b"", "JSON"),
        ("a.jsonl", b"\0", "JSON lines"),
        ("a.safetensors", b"", "tensors"),
        ("a", b"\x10\0\0\0\0\0\0\0{}", "tensors"),
        ("a", "é".encode(), "text"),
        ("a", b"x" * 4095 + "é".encode(), "text"),
        ("a", b"\xff\xfe\x01", "bytes"),
        ("a", b"a\0b", "bytes"),
    ],
)
def test_format_by_name_then_by_content(tmp_path: Path, name: str, data: bytes, form: str) -> None:
    (tmp_path / name).write_bytes(data)
    assert format_of(tmp_path / name, name) == form


@pytest.mark.timeout(10)
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RecordError, match="got a FIFO"):
        compare_files(tmp_path / "file", tmp_path / "pipe")
