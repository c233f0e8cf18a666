"""Reading a run folder as what it may be: input from a stranger.

A file is opened only if its path is plain, no part of it is a link, it is a regular file, and it is within its size
limit. The run folder itself may be reached through a link: its user named it.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, TypedDict

import rfc8785

from samebits.canonical.json_bytes import dump_json, load_json
from samebits.errors import RecordError
from samebits.record.layout import MAX_FILES, check_relative_path, size_limit_bytes

_SHA256 = re.compile(r"[0-9a-f]{64}")
_WINDOWS_REPARSE_POINT = 0x400
# O_NONBLOCK: a FIFO put in the file's place after the check must not hold the reader for ever.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class FileEntry(TypedDict):
    """Digest and size of one file."""

    sha256: str
    bytes: int


def open_regular(root: Path, relative: str) -> BufferedReader:
    """Open a file of a run folder for reading.

    Args:
        root: the run folder, or any folder whose content is a stranger's.
        relative: POSIX path below it.
    Raises:
        RecordError: not a plain path, a link, no regular file, missing, too large, or unreadable.
    """
    check_relative_path(relative, where=str(root))
    path = root
    for segment in relative.split("/"):
        path /= segment
        refuse_link(path)
    _require_regular(_lstat(path), path)
    try:
        stream = os.fdopen(os.open(path, _OPEN_FLAGS), "rb")
    except OSError as error:
        raise RecordError("the file must be readable", got=error.strerror, where=str(path)) from error
    status, limit_bytes = os.fstat(stream.fileno()), size_limit_bytes(relative)
    try:
        _require_regular(status, path)
        if status.st_size > limit_bytes:
            raise RecordError(
                f"a file of this kind must have at most {limit_bytes} bytes", got=str(status.st_size), where=str(path)
            )
    except RecordError:
        stream.close()
        raise
    return stream


def read_bytes(root: Path, relative: str) -> bytes:
    """Read a file of a run folder whole.

    Raises:
        RecordError: as `open_regular`.
    """
    limit_bytes = size_limit_bytes(relative)
    with open_regular(root, relative) as stream:
        data = stream.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise RecordError(f"a file of this kind must have at most {limit_bytes} bytes", where=str(root / relative))
    return data


def read_object(root: Path, relative: str) -> dict[str, Any]:
    """Read a JSON file of a run folder that must hold one object.

    Raises:
        RecordError: as `open_regular`, or not one JSON object with one meaning.
    """
    return parse_object(read_bytes(root, relative), where=str(root / relative))


def parse_object(data: bytes, *, where: str) -> dict[str, Any]:
    """Read bytes that must hold one JSON object, every value of which has a canonical form.

    Raises:
        RecordError: duplicate keys, NaN, a number that binary64 cannot hold, lone surrogates, no object.
    """
    value: Any = load_json(data, where=where)
    if not isinstance(value, dict):
        raise RecordError("the file must hold one JSON object", got=type(value).__name__, where=where)
    document: dict[str, Any] = value
    try:
        try:
            dump_json(document)
        except rfc8785.IntegerDomainError:
            document = {key: _with_large_floats(child) for key, child in document.items()}
            dump_json(document)
    except rfc8785.CanonicalizationError as error:
        raise RecordError("every value must have a canonical form (RFC 8785)", got=str(error), where=where) from error
    return document


def file_entry(root: Path, relative: str) -> FileEntry:
    """Return digest and size of a file of a run folder.

    Raises:
        RecordError: as `open_regular`.
    """
    with open_regular(root, relative) as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        return {"sha256": sha256, "bytes": stream.tell()}


def list_files(root: Path, relative: str) -> list[str]:
    """Return the paths of all files below a folder of a run folder, sorted; an absent folder has none.

    Raises:
        RecordError: a link, a device, a name that is not plain, or too many files.
    """
    check_relative_path(relative, where=str(root))
    if not os.path.lexists(root / relative):
        return []
    paths: list[str] = []
    for path in _walk(root, relative):
        paths.append(path)
        if len(paths) > MAX_FILES:
            raise RecordError(f"a run folder must hold at most {MAX_FILES} files", where=str(root / relative))
    return sorted(paths)


def refuse_link(path: Path) -> None:
    """Check that a path is no symbolic link and no other reparse point; it need not exist.

    Raises:
        RecordError: it is a link.
    """
    if not os.path.lexists(path):
        return
    status = _lstat(path)
    if stat.S_ISLNK(status.st_mode) or getattr(status, "st_file_attributes", 0) & _WINDOWS_REPARSE_POINT:
        raise RecordError("a run folder must hold no links", got="a link", where=str(path))


def is_sha256(value: Any) -> bool:
    """Say whether a value of a stranger's JSON is 64 lower-case hex digits."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _with_large_floats(value: Any) -> Any:
    """Return JSON with those whole numbers as floats that RFC 8785 writes for floats: 2**53 and more, below 1e21."""
    if isinstance(value, dict):
        return {key: _with_large_floats(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_with_large_floats(child) for child in value]
    if type(value) is int and 2**53 <= abs(value) < 10**21 and rfc8785.dumps(float(value)) == str(value).encode():
        return float(value)
    return value


def _walk(root: Path, relative: str) -> Iterator[str]:
    folder = root / relative
    refuse_link(folder)
    if not stat.S_ISDIR(_lstat(folder).st_mode):
        raise RecordError("this must be a folder", got=_kind(_lstat(folder)), where=str(folder))
    try:
        names = os.listdir(folder)  # noqa: PTH208 (names, as text, before any is taken for a path)
    except OSError as error:
        raise RecordError("the folder must be readable", got=error.strerror, where=str(folder)) from error
    for name in names:
        path = check_relative_path(f"{relative}/{name}", where=str(root))
        refuse_link(root / path)
        status = _lstat(root / path)
        if stat.S_ISDIR(status.st_mode):
            yield from _walk(root, path)
        else:
            _require_regular(status, root / path)
            yield path


def _lstat(path: Path) -> os.stat_result:
    try:
        return path.lstat()
    except FileNotFoundError as error:
        raise RecordError("the file must be there", got="none", where=str(path)) from error
    except OSError as error:
        raise RecordError("the file must be readable", got=error.strerror, where=str(path)) from error


def _require_regular(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise RecordError("a run folder must hold regular files only", got=_kind(status), where=str(path))


def _kind(status: os.stat_result) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(status.st_mode), "a device")
