from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samebits.data import reader
from samebits.data.reader import embedded_path, find_files, read_samples
from samebits.data.schemas import Completion, Instruction, Text
from samebits.errors import DataError

ROOT = Path(__file__).parents[3]
# The same examples each time, and no clock: a loaded machine is no failure.
UNHURRIED = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def refused(path: Path, match: str, *, line: int | None = None, schema: str = "auto") -> DataError:
    """Check that a file is refused with its name, the line and the reason."""
    with pytest.raises(DataError, match=match) as caught:
        read_samples(path, schema)
    assert str(path) in str(caught.value)
    if line is not None:
        assert f"line {line}" in str(caught.value)
        assert f"line {line + 1}" not in str(caught.value)
    return caught.value


def read_or_refuse(path: Path) -> int | str:
    """Return the number of samples, or the refusal."""
    try:
        return len(read_samples(path).samples)
    except DataError as error:
        return str(error)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def texts(path: Path) -> list[str]:
    return [sample.content.text for sample in read_samples(path).samples if isinstance(sample.content, Text)]


def test_every_rule_of_the_page_has_a_test() -> None:
    rules = set(re.findall(r"^\| (D-\d\d) \|", (ROOT / "docs" / "data.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert len(rules) > 30
    cited = {
        f"D-{number}"
        for path in Path(__file__).parent.glob("test_*.py")
        for number in re.findall(r"def test_d(\d\d)_", path.read_text(encoding="utf-8"))
    }
    assert cited == rules


def test_d01_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must hold train.jsonl"):
        find_files(str(tmp_path))
    train = write(tmp_path / "train.jsonl", b"")
    write(tmp_path / "test.jsonl", b"")
    assert find_files(str(tmp_path)) == (train, None)
    assert find_files(str(train)) == (train, None)
    evaluation = write(tmp_path / "eval.jsonl", b"")
    assert find_files(str(tmp_path)) == (train, evaluation)
    write(tmp_path / "valid.jsonl", b"")
    with pytest.raises(DataError, match=r"one of valid.jsonl and eval.jsonl"):
        find_files(str(tmp_path))


def test_d01_nothing_there() -> None:
    with pytest.raises(DataError, match="some-user/some-dataset") as caught:
        find_files("some-user/some-dataset")
    assert "download" in str(caught.value)


def test_d02_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.jsonl", b'{"text":"a"}\n{"text":"abcdef"}\n')
    monkeypatch.setattr(reader, "MAX_LINE_BYTES", 12)
    refused(path, "at most 12 bytes, got 17", line=2)
    monkeypatch.setattr(reader, "MAX_FILE_BYTES", 20)
    refused(path, "at most 20 bytes, got 31")


def test_d02_not_a_file(tmp_path: Path) -> None:
    refused(tmp_path / "missing.jsonl", "must be readable")
    refused(tmp_path, "ordinary file")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        refused(tmp_path / "pipe", "ordinary file")


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_d03_not_utf8(tmp_path: Path, mark: bytes) -> None:
    path = write(tmp_path / "a.jsonl", mark + b'{"text":"a"}\n{"text":"\xe9"}\n')
    refused(path, f"UTF-8, got byte 0xe9 at offset {len(mark) + 22}", line=2)


def test_d03_utf16_and_gzip(tmp_path: Path) -> None:
    refused(write(tmp_path / "a.jsonl", '{"text":"a"}\n'.encode("utf-16")), "UTF-8, got byte 0xff at offset 0", line=1)
    refused(write(tmp_path / "b.jsonl", b"\x1f\x8b\x08\x00"), "UTF-8, got byte 0x8b at offset 1", line=1)


def test_d04_byte_order_mark(tmp_path: Path) -> None:
    data = '\ufeff{"text":"a"}\n'.encode()
    found = read_samples(write(tmp_path / "a.jsonl", data))
    assert [sample.content for sample in found.samples] == [Text("a")]
    assert found.raw_sha256 == hashlib.sha256(data).hexdigest()
    assert found.notes == ("a byte order mark at the start was skipped",)
    refused(write(tmp_path / "b.jsonl", '{"text":"a"}\n\ufeff{"text":"b"}\n'.encode()), "one JSON object", line=2)


def test_d05_line_ends(tmp_path: Path) -> None:
    unix = read_samples(write(tmp_path / "unix.jsonl", b'{"text":"a"}\n{"text":"b"}\n'))
    windows = read_samples(write(tmp_path / "windows.jsonl", b'{"text":"a"}\r\n{"text":"b"}\r\n'))
    unended = read_samples(write(tmp_path / "unended.jsonl", b'{"text":"a"}\n{"text":"b"}'))
    assert unix.samples == windows.samples == unended.samples
    assert len({unix.raw_sha256, windows.raw_sha256, unended.raw_sha256}) == 3
    assert (unix.notes, windows.notes) == ((), ("lines ending in CR LF: 2",))
    refused(write(tmp_path / "mac.jsonl", b'{"text":"a"}\r{"text":"b"}\r'), "Extra data", line=1)


def test_d05_other_separators_end_nothing(tmp_path: Path) -> None:
    text = "a\u2028b\u2029c\u0085d"
    assert texts(write(tmp_path / "a.jsonl", json.dumps({"text": text}, ensure_ascii=False).encode())) == [text]


def test_d06_blank_lines(tmp_path: Path) -> None:
    found = read_samples(write(tmp_path / "a.jsonl", b'\n{"text":"a"}\n \t\r\n\n{"text":"b"}\n\n'))
    assert [(sample.index, sample.line) for sample in found.samples] == [(0, 2), (1, 5)]
    assert "blank lines skipped: 4" in found.notes
    # A no-break space and a form feed are not blank in JSON.
    for other in ("\u00a0", "\f"):
        refused(write(tmp_path / "b.jsonl", f'{{"text":"a"}}\n{other}\n'.encode()), "one JSON object", line=2)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text":"a"} {"text":"b"}', "Extra data"),
        (b'{"text":"a"', "delimiter"),
        (b'{"text":"a","text":"a"}', "'text' twice"),
        (b'{"text":"a","metadata":{"x":1,"x":2}}', "'x' twice"),
        (b'{"text":"a","score":NaN}', "NaN"),
        (b'{"text":"a","score":-Infinity}', "Infinity"),
        (b'{"text":"a\tb"}', "control character"),
        (b'{"text":"a","n":' + b"9" * 5000 + b"}", "digits"),
        (b'["a"]', "got list"),
        (b'"a"', "got str"),
        (b"null", "got NoneType"),
        (b'{"text":"a","metadata":' + b"[" * 70 + b"]" * 70 + b"}", "at most 64 deep"),
        (b'{"text":"a","metadata":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "line 2"),
    ],
)
def test_d07_not_one_object(tmp_path: Path, line: bytes, reason: str) -> None:
    refused(write(tmp_path / "a.jsonl", b'{"text":"fine"}\n' + line + b"\n"), reason, line=2)


def test_d07_array(tmp_path: Path) -> None:
    error = refused(write(tmp_path / "a.json", b'\n [\n{"text":"a"}\n]\n'), "a JSON array")
    assert "a line of its own" in str(error)
    refused(write(tmp_path / "b.json", b'{\n  "text": "a"\n}\n'), "one JSON object", line=1)


def test_d08_nul_and_control_characters(tmp_path: Path) -> None:
    refused(write(tmp_path / "a.jsonl", b'{"text":"a"}\n{"text":"a\\u0000b"}\n'), r"U\+0000", line=2)
    refused(write(tmp_path / "b.jsonl", b'{"text":"a\x00b"}\n'), "control character", line=1)
    path = write(tmp_path / "c.jsonl", b'{"text":"a\\u001bb"}\n{"text":"\\t\\r\\n"}\n{"text":"\\u007f"}\n')
    assert texts(path) == ["a\x1bb", "\t\r\n", "\x7f"]
    assert read_samples(path).notes == ("samples with control characters, kept: 2",)


@pytest.mark.parametrize("half", ["\\ud83d", "\\ude00", "\\ude00\\ud83d", "\\ud83dx\\ude00"])
def test_d09_half_a_surrogate_pair(tmp_path: Path, half: str) -> None:
    refused(write(tmp_path / "a.jsonl", f'{{"text":"a"}}\n{{"text":"{half}"}}\n'.encode()), r"U\+D", line=2)
    refused(write(tmp_path / "b.jsonl", f'{{"text":"a","{half}":1}}\n'.encode()), r"U\+D", line=1)
    refused(write(tmp_path / "c.jsonl", f'{{"text":"a","metadata":[{{"x":"{half}"}}]}}\n'.encode()), r"U\+D", line=1)


def test_d09_emoji(tmp_path: Path) -> None:
    escaped = write(tmp_path / "a.jsonl", b'{"text":"\\ud83d\\ude00"}\n')
    plain = write(tmp_path / "b.jsonl", '{"text":"\U0001f600"}\n'.encode())
    assert texts(escaped) == texts(plain) == ["\U0001f600"]


@UNHURRIED
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_d10_text_is_what_the_file_says(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    for ensure_ascii in (True, False):
        data = json.dumps({"text": text}, ensure_ascii=ensure_ascii).encode()
        assert texts(write(folder / "any.jsonl", data)) == [text]


def test_d10_accents_stay_apart(tmp_path: Path) -> None:
    composed, decomposed = "\u00e9", "e\u0301"
    path = write(tmp_path / "a.jsonl", json.dumps({"text": composed}).encode() + b"\n" + b'{"text":"e\\u0301"}')
    assert texts(path) == [composed, decomposed]


@pytest.mark.parametrize("data", [b"", b"\n\n \r\n", b"\xef\xbb\xbf"])
def test_d11_empty(tmp_path: Path, data: bytes) -> None:
    refused(write(tmp_path / "a.jsonl", data), "at least one sample")


def test_d13_origin(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", b'{"text":"a","origin":"curated","id":7,"metadata":{}}\n{"text":"b"}\n')
    found = read_samples(path)
    assert [sample.origin for sample in found.samples] == ["curated", "unmarked"]
    assert found.notes == ()
    for wrong in ("7", '""', f'"{"x" * 65}"', "[]"):
        data = f'{{"text":"a","origin":{wrong}}}\n'.encode()
        refused(write(tmp_path / "b.jsonl", data), "`origin` must be a string", line=1)


def test_d13_other_keys_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", b'{"text":"a","label":1}\n{"text":"b","url":"x"}\n')
    assert read_samples(path).notes == ("keys that do not reach the text: label, url",)


def test_stated_schema_reads_what_detection_refuses(tmp_path: Path) -> None:
    line = b'{"instruction":"i","output":"o","text":"t"}\n'
    path = write(tmp_path / "a.jsonl", line)
    error = refused(path, "fit one schema, got text and alpaca", line=1)
    assert "--set dataset_schema=alpaca" in str(error)
    assert read_samples(path, "alpaca").samples[0].content == Instruction("i", "", "o")
    assert read_samples(path, "text").samples[0].content == Text("t")
    refused(path, "prompt-completion must have `completion`, `prompt`", line=1, schema="prompt-completion")


def test_raw_digest_and_size(tmp_path: Path) -> None:
    data = b'{"prompt":"p","completion":"c"}\n'
    found = read_samples(write(tmp_path / "a.jsonl", data))
    assert (found.raw_sha256, found.n_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (found.schema, found.samples[0].content) == ("prompt-completion", Completion("p", "c"))


@UNHURRIED
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = write(tmp_path_factory.getbasetemp() / "fuzz.jsonl", data)
    found = read_or_refuse(path)
    assert str(path) in found if isinstance(found, str) else found > 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["messages", "prompt", "completion", "text", "instruction", "input", "output", "conversations", "system", "user",
     "assistant", "origin", "tools", "role", "content"]
)  # fmt: skip


@UNHURRIED
@given(st.lists(st.dictionaries(KEYS, JSON, max_size=4), max_size=3))
def test_any_objects_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, samples: list[Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "objects.jsonl"
    write(path, "".join(json.dumps(sample) + "\n" for sample in samples).encode())
    found = read_or_refuse(path)
    assert str(path) in found if isinstance(found, str) else found == len(samples)


def test_embedded_dataset_is_that_of_its_manifest() -> None:
    data = embedded_path().read_bytes()
    manifest = json.loads((embedded_path().parent / "manifest.json").read_bytes())
    assert manifest["files"] == {"train.jsonl": {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}}
    samples = [json.loads(line) for line in data.splitlines()]
    assert manifest["n_samples"] == {"curated": 3, "synthetic": 25}
    assert [sample["origin"] for sample in samples] == ["curated"] * 3 + ["synthetic"] * 25
    assert len({sample["id"] for sample in samples}) == 28
    assert set(manifest["made_by"]) == {"curated", "synthetic"}
    assert manifest["licence"] == "Apache-2.0"
    found = read_samples(embedded_path())
    assert (found.schema, found.notes) == ("alpaca", ())
    assert find_files("embedded") == (embedded_path(), None)


def test_embedded_dataset_is_made_again_byte_for_byte() -> None:
    tool = ROOT / "tools" / "make_embedded_dataset.py"
    spec = importlib.util.spec_from_file_location("make_embedded_dataset", tool)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.dataset_bytes() == embedded_path().read_bytes()
    assert module.manifest_bytes(module.dataset_bytes()) == (embedded_path().parent / "manifest.json").read_bytes()


def test_embedded_samples_are_plain_and_vary_in_length() -> None:
    data = embedded_path().read_bytes()
    assert b"\r" not in data
    assert data.endswith(b"}\n")
    lengths = [len(json.loads(line)["output"].split()) for line in data.splitlines()]
    assert min(lengths) < 10
    assert sum(length >= 60 for length in lengths) >= 6
