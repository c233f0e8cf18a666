"""Damage planted in a dataset and in a tokenizer: each is refused and named, or changes the digest of its layer."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import samebits
from samebits.data.dataset import prepare
from samebits.data.reader import embedded_path
from samebits.data.tokenizer import load_tokenizer
from samebits.errors import DataError, ModelError
from samebits.recipe.settings import Settings

BUNDLED = Path(samebits.__file__).parent / "models" / "embedded"
GOOD = embedded_path().read_bytes()

Damage = Callable[[bytes], bytes]


def digests(path: Path) -> list[tuple[str, str, str]]:
    document = prepare(Settings(dataset_name=str(path)), load_tokenizer(BUNDLED)).document
    return [
        (document[split]["raw_sha256"], document[split]["rendered_sha256"], document[split]["token_ids_sha256"])
        for split in ("train", "evaluation")
    ]


def lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda data: data[:-5], "line 28.*"),
        (lambda data: data[: len(data) // 2], r"must be one JSON object, got .*line \d+"),
        (lambda data: b"".join([*lines(data)[:7], lines(data)[7][:40], b"\n", *lines(data)[8:]]), "line 8"),
        (lambda data: data.replace(b"What is a digest", b"What is a \xff\xfedigest"), "UTF-8, got byte 0xff at offset"),
        (
            lambda data: data.replace(b'"output":"16 x', b'"output":null,"x":"16 x'),
            "`output` must be a string, got null .*line 9",
        ),
        (lambda data: data + b'{"messages":[]}\n', "line 29.*split the file"),
        (lambda data: data + b"\x00" * 64, "line 29"),
        (lambda data: b"\n" * 3 + data.replace(b'"synthetic-25",', b'"synthetic-25","id":"again",'), "twice.*line 31"),
        (lambda data: b"", "at least one sample"),
        (lambda data: b"[" + data.replace(b"}\n", b"},\n") + b"]", "a JSON array"),
    ],
)
def test_damage_is_refused_with_its_line(tmp_path: Path, damage: Damage, match: str) -> None:
    damaged = damage(GOOD)
    assert damaged != GOOD
    path = tmp_path / "train.jsonl"
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=match) as caught:
        digests(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("line", range(28))
def test_a_line_cut_anywhere_is_refused_with_its_number(tmp_path: Path, line: int) -> None:
    whole = lines(GOOD)
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"".join([*whole[:line], whole[line][: 10 + 5 * line], b"\n", *whole[line + 1 :]]))
    with pytest.raises(DataError) as caught:
        digests(path)
    assert re.search(rf"line {line + 1}\b", str(caught.value))


def test_swapped_samples_change_every_layer(tmp_path: Path) -> None:
    whole = lines(GOOD)
    whole[3], whole[4] = whole[4], whole[3]
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"".join(whole))
    (train, _), (swapped, _) = digests(embedded_path()), digests(path)
    assert all(a != b for a, b in zip(train, swapped, strict=True))


def test_one_letter_in_another_case_changes_every_layer(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(GOOD.replace(b"What is a digest", b"what is a digest"))
    assert path.read_bytes() != GOOD
    (train, _), (changed, _) = digests(embedded_path()), digests(path)
    assert all(a != b for a, b in zip(train, changed, strict=True))


def test_windows_line_ends_change_the_bytes_only(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(GOOD.replace(b"\n", b"\r\n"))
    for ours, theirs in zip(digests(embedded_path()), digests(path), strict=True):
        assert ours[0] != theirs[0]
        assert ours[1:] == theirs[1:]


def test_a_changed_merge_changes_the_tokenizer_and_the_tokens(tmp_path: Path) -> None:
    shutil.copytree(BUNDLED, tmp_path / "base", ignore=shutil.ignore_patterns("*.safetensors"))
    path = tmp_path / "base" / "tokenizer.json"
    value = json.loads(path.read_bytes())
    value["model"]["merges"] = value["model"]["merges"][1:]
    path.write_text(json.dumps(value), encoding="utf-8")
    good, bad = load_tokenizer(BUNDLED), load_tokenizer(tmp_path / "base")
    assert good.sha256 != bad.sha256
    parts = [prepare(Settings(), tokenizer).document["train"] for tokenizer in (good, bad)]
    assert parts[0]["rendered_sha256"] == parts[1]["rendered_sha256"]
    assert parts[0]["token_ids_sha256"] != parts[1]["token_ids_sha256"]


def test_a_truncated_tokenizer_is_refused(tmp_path: Path) -> None:
    data = (BUNDLED / "tokenizer.json").read_bytes()
    (tmp_path / "tokenizer.json").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=re.escape("tokenizer.json")):
        load_tokenizer(tmp_path)
