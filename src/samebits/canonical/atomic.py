"""Files and folders that appear whole or not at all: temporary name, sync, rename, sync the folder."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from samebits.errors import StorageError

TEMPORARY_PREFIX = ".partial-"
# No quota on Windows.
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


def write_atomic(path: Path, data: bytes | Iterable[bytes | memoryview]) -> None:
    """Write a file so that a crash at any moment leaves the old file or the new one.

    Args:
        path: the final name; its folder must exist.
        data: the bytes, whole or in pieces.
    Raises:
        StorageError: the disk refused; the old file stays, the temporary one is removed.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{path.name}")
    pieces = [data] if isinstance(data, bytes) else data
    try:
        # A leftover is removed, not written into: in a stranger's folder the name may be a link to anywhere.
        if os.path.lexists(temporary):
            temporary.unlink()
        with temporary.open("xb") as stream:
            for piece in pieces:
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException as error:
        _remove_quietly(temporary)
        if not isinstance(error, OSError):
            raise
        remedy = "make room, then run the command again (a training with --resume)" if error.errno in _FULL else None
        raise StorageError("the disk must take the file", got=str(error), where=str(path), remedy=remedy) from error


def partial_folder(path: Path) -> Path:
    """Return a new empty folder under the temporary name of `path`, replacing what a killed run left there."""
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{path.name}")
    try:
        if temporary.exists():
            shutil.rmtree(temporary)
        temporary.mkdir(parents=True)
    except OSError as error:
        raise StorageError("the disk must take the folder", got=str(error), where=str(path)) from error
    return temporary


def publish_folder(temporary: Path, path: Path) -> None:
    """Give a finished temporary folder its final name; `path` must not exist.

    Raises:
        StorageError: the name is taken, or the disk refused.
    """
    try:
        sync_folder(temporary)
        os.rename(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise StorageError("the folder must be free and writable", got=str(error), where=str(path)) from error


def sync_folder(path: Path) -> None:
    """Make the entries of a folder durable, where the system can (Windows cannot open folders)."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_quietly(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        # The write's own error is the one to report; a leftover temporary name is never read.
        return
