"""Datasets as files: JSONL bytes to samples, each refused or accepted by a rule of docs/data.md."""

from __future__ import annotations

import json
import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from samebits.canonical.digests import sha256_bytes
from samebits.data import schemas
from samebits.errors import DataError
from samebits.recipe.settings import EMBEDDED

MAX_FILE_BYTES = 2**30
MAX_LINE_BYTES = 2**24
MAX_DEPTH = 64
UTF8_BOM = b"\xef\xbb\xbf"
UNMARKED = "unmarked"
"""The origin of a sample that does not name one."""

_JSON_BLANKS = b" \t\r"
# Tab, line feed and carriage return are ordinary in a text.
_CONTROLS = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class RawSample:
    """One line of a file: its place among the samples from 0, its line from 1, its origin, and what it says."""

    index: int
    line: int
    origin: str
    content: schemas.Content


@dataclass(frozen=True)
class RawDataset:
    """A file's samples, the schema found, the digest and size of its bytes, and what was noticed on the way."""

    path: Path
    samples: tuple[RawSample, ...]
    schema: str
    raw_sha256: str
    n_bytes: int
    notes: tuple[str, ...]


def embedded_path() -> Path:
    """Return the dataset that comes with the package."""
    return Path(__file__).parent / "embedded" / "train.jsonl"


def find_files(name: str) -> tuple[Path, Path | None]:
    """Return the training file of a dataset name, and its evaluation file where a folder holds one.

    Raises:
        DataError: there is no such file, or a folder without train.jsonl, or with both valid.jsonl and eval.jsonl.
    """
    if name == EMBEDDED:
        return embedded_path(), None
    path = Path(name)
    if not path.exists():
        raise DataError(
            "the dataset must be a JSONL file or a folder with train.jsonl",
            got="nothing there",
            where=name,
            remedy="download a dataset of a hub first, and give its file",
        )
    if not path.is_dir():
        return path, None
    train, others = path / "train.jsonl", [path / "valid.jsonl", path / "eval.jsonl"]
    if not train.exists():
        raise DataError("a dataset folder must hold train.jsonl", where=name, remedy="give the file itself")
    found = [other for other in others if other.exists()]
    if len(found) == 2:
        raise DataError("a dataset folder must hold one of valid.jsonl and eval.jsonl", got="both", where=name)
    return train, found[0] if found else None


def read_samples(path: Path, schema: str = "auto") -> RawDataset:
    """Read a JSONL file.

    Args:
        schema: as in the recipe's `dataset_schema`.
    Raises:
        DataError: a line breaks a rule of docs/data.md; file, line and reason are named.
    """
    data = _file_bytes(path)
    text = data.removeprefix(UTF8_BOM)
    notes = ["a byte order mark at the start was skipped"] if len(text) < len(data) else []
    _check_utf8(text, path, offset_bytes=len(data) - len(text))
    if text[:MAX_LINE_BYTES].lstrip()[:1] == b"[":
        raise DataError(
            "a dataset must be JSONL, one object on each line",
            got="a JSON array",
            where=str(path),
            remedy="write each element of the array on a line of its own, without brackets and commas",
        )
    objects = [(number, _object(line, f"{path}, line {number}")) for number, line in _lines(text, path, notes)]
    if not objects:
        raise DataError("a dataset must have at least one sample", got="none", where=str(path))
    found = (
        schemas.detect((f"{path}, line {number}", sample) for number, sample in objects)
        if schema == "auto"
        else schemas.stated(schema, objects[0][1])
    )
    samples = tuple(
        RawSample(index, number, _origin(sample, where), schemas.parse(found, sample, where))
        for index, (number, sample) in enumerate(objects)
        for where in [f"{path}, line {number}"]
    )
    notes += _notes(found, objects)
    return RawDataset(path, samples, found, sha256_bytes(data), len(data), tuple(notes))


def _file_bytes(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DataError("a dataset must be an ordinary file", where=str(path))
        if status.st_size > MAX_FILE_BYTES:
            raise DataError(
                f"a dataset must have at most {MAX_FILE_BYTES} bytes",
                got=str(status.st_size),
                where=str(path),
                remedy="train on a part of it",
            )
        return path.read_bytes()
    except OSError as error:
        raise DataError("the dataset must be readable", got=str(error.strerror), where=str(path)) from error


def _check_utf8(text: bytes, path: Path, offset_bytes: int) -> None:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise DataError(
            "a dataset must be UTF-8",
            got=f"byte 0x{text[error.start]:02x} at offset {error.start + offset_bytes}",
            where=f"{path}, line {line}",
            remedy="convert the file, for example with `iconv -t UTF-8`",
        ) from error


def _lines(text: bytes, path: Path, notes: list[str]) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank with their numbers; only LF ends a line."""
    n_blank = n_crlf = 0
    lines = text.split(b"\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, start=1):
        n_crlf += line.endswith(b"\r")
        if not line.strip(_JSON_BLANKS):
            n_blank += 1
            continue
        if len(line) > MAX_LINE_BYTES:
            raise DataError(
                f"a line must have at most {MAX_LINE_BYTES} bytes", got=str(len(line)), where=f"{path}, line {number}"
            )
        yield number, line
    notes += [f"blank lines skipped: {n_blank}"] * bool(n_blank) + [f"lines ending in CR LF: {n_crlf}"] * bool(n_crlf)


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise DataError(
            "a line must be one JSON object", got=str(error), where=where, remedy="write each sample on one line"
        ) from error
    if not isinstance(value, dict):
        raise DataError("a line must be one JSON object", got=type(value).__name__, where=where)
    for string in _strings(value, where):
        _check_characters(string, where)
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    counts = Counter(key for key, _ in pairs)
    twice = next((key for key, count in counts.items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"the key {twice!r} twice")
    return dict(pairs)


def _no_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant}, which JSON does not have")


def _strings(value: Any, where: str) -> Iterator[str]:
    pending = [(value, 1)]
    while pending:
        node, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise DataError(f"a line must nest at most {MAX_DEPTH} deep", where=where)
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict):
            yield from node
            pending.extend((child, depth + 1) for child in node.values())
        elif isinstance(node, list):
            pending.extend((child, depth + 1) for child in node)


def _check_characters(string: str, where: str) -> None:
    if "\0" in string:
        raise DataError("a string must not hold U+0000", where=where, remedy="remove the character")
    try:
        string.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            "a string must not hold half a surrogate pair: it is no character and has no UTF-8 bytes",
            got=f"U+{ord(string[error.start]):04X}",
            where=where,
            remedy="repair the tool that cut the pair, or remove the character",
        ) from error


def _origin(sample: dict[str, Any], where: str) -> str:
    origin = sample.get("origin")
    if origin is None:
        return UNMARKED
    if not isinstance(origin, str) or not 0 < len(origin) <= 64:
        raise DataError("`origin` must be a string of 1 to 64 characters", got=repr(origin)[:80], where=where)
    return origin


def _notes(schema: str, objects: list[tuple[int, dict[str, Any]]]) -> Iterator[str]:
    ignored = sorted(set().union(*(schemas.ignored_keys(schema, sample) for _, sample in objects)))
    if ignored:
        more = f" and {len(ignored) - 8} more" if len(ignored) > 8 else ""
        yield f"keys that do not reach the text: {', '.join(ignored[:8])}{more}"
    n_control = sum(any(_CONTROLS.search(string) for string in _strings(sample, "")) for _, sample in objects)
    if n_control:
        yield f"samples with control characters, kept: {n_control}"
