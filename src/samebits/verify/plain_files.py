"""Opening what a stranger may have laid into a folder: plain files only, no link followed, nothing waited for."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from samebits.errors import RecordError

BLOCK_BYTES = 1 << 20
MAX_ENTRIES = 100_000
# Beyond this much more than its partner, a file is known to differ and is not read to its end.
MAX_EXCESS_BYTES = 4 << 30

_KINDS = {
    stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "symbolic link", stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device",
}  # fmt: skip
_WINDOWS_REPARSE_POINT = 0x400
# O_NONBLOCK: a FIFO that took the file's place after the check must not hold the reader for ever.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True)
class Entry:
    """What lies under one name: `file`, `folder`, `symbolic link`, `FIFO`, `socket` or `device`, and its size."""

    kind: str
    size_bytes: int


@dataclass(frozen=True)
class Scan:
    """Two files read side by side once.

    Args:
        golden_bytes: size.
        candidate_bytes: size.
        golden_sha256: None where the file is so much longer than its partner that it was not read to its end.
        candidate_sha256: the same of the candidate.
        first_offset: first differing byte; the shorter size where one file begins with the other; None where equal.
    """

    golden_bytes: int
    candidate_bytes: int
    golden_sha256: str | None
    candidate_sha256: str | None
    first_offset: int | None

    @property
    def is_prefix(self) -> bool:
        """Say whether one file is the beginning of the other."""
        return self.first_offset == min(self.golden_bytes, self.candidate_bytes)


def entry_at(path: Path, *, follow: bool = False) -> Entry | None:
    """Return what lies at `path`, or None where nothing does.

    Args:
        follow: go through a link, for a path that the user named.
    Raises:
        RecordError: the system refuses to say.
    """
    try:
        status = path.stat() if follow else path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise RecordError("the path must be readable", got=_reason(error), where=str(path)) from error
    return _entry(status)


def list_tree(folder: Path) -> dict[str, Entry]:
    """Return all that lies below a folder, by POSIX path, sorted, without the folders; links are not followed.

    Raises:
        RecordError: a folder cannot be read, or there are more than 100,000 entries.
    """
    entries: dict[str, Entry] = {}
    pending, n_seen = [""], 0
    while pending:
        prefix = pending.pop()
        for name, entry in _folder_entries(folder / prefix):
            n_seen += 1
            if n_seen > MAX_ENTRIES:
                raise RecordError(f"a folder must hold at most {MAX_ENTRIES:,} entries", where=str(folder))
            if entry.kind == "folder":
                pending.append(f"{prefix}{name}/")
            else:
                entries[f"{prefix}{name}"] = entry
    return dict(sorted(entries.items()))


def _folder_entries(folder: Path) -> Iterator[tuple[str, Entry]]:
    try:
        with os.scandir(folder) as found:
            for item in found:
                yield item.name, _entry(item.stat(follow_symlinks=False))
    except OSError as error:
        raise RecordError("the folder must be readable", got=_reason(error), where=str(folder)) from error


def open_plain(path: Path) -> BinaryIO:
    """Open a regular file for reading, without waiting for anything.

    Raises:
        RecordError: missing, no regular file, or not readable.
    """
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except OSError as error:
        raise RecordError("the file must be readable", got=_reason(error), where=str(path)) from error
    stream = os.fdopen(descriptor, "rb")
    kind = _entry(os.fstat(descriptor)).kind
    if kind != "file":
        stream.close()
        raise RecordError("this must be a plain file", got=f"a {kind}", where=str(path))
    return stream


def read_plain(path: Path) -> bytes:
    """Read a file whole; the caller has looked at its size.

    Raises:
        RecordError: as `open_plain`, or the system refuses to read on.
    """
    with open_plain(path) as stream:
        return _read(stream, -1, path)


def read_window(path: Path, start: int, n_bytes: int) -> bytes:
    """Read at most `n_bytes` from byte `start`.

    Raises:
        RecordError: as `read_plain`.
    """
    with open_plain(path) as stream:
        stream.seek(start)
        return _read(stream, n_bytes, path)


def sha256_plain(path: Path) -> str:
    """Return the SHA-256 of a regular file.

    Raises:
        RecordError: as `read_plain`.
    """
    digest = hashlib.sha256()
    with open_plain(path) as stream:
        while block := _read(stream, BLOCK_BYTES, path):
            digest.update(block)
    return digest.hexdigest()


def scan_pair(golden: Path, candidate: Path) -> Scan:
    """Read two files once, side by side: sizes, digests, first differing byte.

    Raises:
        RecordError: one of them cannot be read.
    """
    with open_plain(golden) as golden_stream, open_plain(candidate) as candidate_stream:
        sizes = os.fstat(golden_stream.fileno()).st_size, os.fstat(candidate_stream.fileno()).st_size
        end = min(max(sizes), min(sizes) + MAX_EXCESS_BYTES)
        digests = hashlib.sha256(), hashlib.sha256()
        position, first_offset = 0, None
        while position < end:
            ours, theirs = _read(golden_stream, BLOCK_BYTES, golden), _read(candidate_stream, BLOCK_BYTES, candidate)
            if not ours and not theirs:
                break
            digests[0].update(ours)
            digests[1].update(theirs)
            if first_offset is None and ours != theirs:
                first_offset = position + first_difference(ours, theirs)
            position += max(len(ours), len(theirs))
        golden_sha256, candidate_sha256 = (
            digest.hexdigest() if size <= end else None for digest, size in zip(digests, sizes, strict=True)
        )
    return Scan(*sizes, golden_sha256, candidate_sha256, first_offset)


def first_difference(ours: bytes, theirs: bytes) -> int:
    """Return the first index at which two different byte strings differ, or the length of the shorter."""
    low, high = 0, min(len(ours), len(theirs))
    if ours[:high] == theirs[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if ours[low:middle] == theirs[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _read(stream: BinaryIO, n_bytes: int, path: Path) -> bytes:
    try:
        return stream.read(n_bytes)
    except OSError as error:
        raise RecordError("the file must be readable", got=_reason(error), where=str(path)) from error


def _entry(status: os.stat_result) -> Entry:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "device")
    if getattr(status, "st_file_attributes", 0) & _WINDOWS_REPARSE_POINT:
        kind = "symbolic link"
    return Entry(kind, status.st_size)


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
