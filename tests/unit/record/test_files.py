"""Reading JSON and bytes of a run folder; tests/faults/test_record_damage.py plants the rest."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samebits.canonical.json_bytes import dump_json
from samebits.errors import RecordError
from samebits.record import files
from samebits.record.files import file_entry, is_sha256, list_files, open_regular, parse_object, read_bytes, read_object


def test_reads_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.json").write_bytes(b'{"k":1}\n')
    assert read_bytes(tmp_path, "a/x.json") == b'{"k":1}\n'
    assert read_object(tmp_path, "a/x.json") == {"k": 1}
    assert file_entry(tmp_path, "a/x.json") == {"sha256": hashlib.sha256(b'{"k":1}\n').hexdigest(), "bytes": 8}
    with open_regular(tmp_path, "a/x.json") as stream:
        assert stream.read(2) == b'{"'


def test_lists_files_sorted_and_deep(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("z", "b/y", "A"):
        (tmp_path / "a" / name).write_bytes(b"")
    assert list_files(tmp_path, "a") == ["a/A", "a/b/y", "a/z"]
    assert list_files(tmp_path, "absent") == []


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILES", 2)
    (tmp_path / "a").mkdir()
    for name in "xyz":
        assert len(list_files(tmp_path, "a")) < 3
        (tmp_path / "a" / name).write_bytes(b"")
    with pytest.raises(RecordError, match="at most 2 files"):
        list_files(tmp_path, "a")


def test_a_file_that_grows_between_check_and_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.json").write_bytes(b"123456789")
    real = open_regular

    def grown(root: Path, relative: str) -> Any:
        stream = real(root, relative)
        monkeypatch.setattr(files, "size_limit_bytes", lambda _: 8)
        return stream

    limits = iter([8, 9])
    monkeypatch.setattr(files, "open_regular", grown)
    monkeypatch.setattr(files, "size_limit_bytes", lambda _: next(limits))
    with pytest.raises(RecordError, match="at most 8 bytes"):
        read_bytes(tmp_path, "x.json")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "one JSON value"),
        (b"[]", "one JSON object"),
        (b"null", "one JSON object"),
        (b"{", "one JSON value"),
        (b"{} {}", "one JSON value"),
        (b'{"a":1,"a":2}', "twice"),
        (b'{"a":{"b":1,"b":1}}', "twice"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "Infinity"),
        (b'{"a":1e999}', "binary64"),
        (b'{"a":9007199254740993}', "canonical form"),
        (b'{"a":100000000000000000001}', "canonical form"),
        (b'{"a":1' + b"0" * 400 + b"}", "canonical form"),
        (b'{"a":1' + b"0" * 5000 + b"}", "one JSON value"),
        (b'{"a":"\\ud800"}', "canonical form"),
        (b'{"\\ud800":1}', "canonical form"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b"\xef\xbb\xbf{}", "one JSON value"),
        (b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", "64 deep"),
        (b'{"a":' + b"[" * 200_000, "one JSON value"),
    ],
)
def test_json_with_no_or_two_meanings_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(RecordError, match=said):
        parse_object(data, where="here")


def test_json_nested_as_deep_as_allowed_is_read() -> None:
    data = b'{"a":' + b"[" * 63 + b"]" * 63 + b"}"
    assert dump_json(parse_object(data, where="here")) == data + b"\n"


@given(number=st.floats(allow_nan=False, allow_infinity=False) | st.floats(min_value=2.0**53, max_value=1e22))
def test_every_float_that_is_written_is_read_as_the_same_number(number: float) -> None:
    data = dump_json({"a": [number, -number], "b": {"c": number}})
    read = parse_object(data, where="here")
    assert read["b"]["c"] == number
    assert read["a"] == [number, -number]
    assert dump_json(read) == data


@pytest.mark.parametrize(
    ("value", "answer"),
    [("0" * 64, True), ("0" * 63, False), ("0" * 65, False), ("A" * 64, False), ("0" * 64 + "\n", False), (0, False)],
)
def test_what_a_digest_looks_like(value: Any, answer: bool) -> None:
    assert is_sha256(value) is answer
