"""Files and folders appear whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from samebits.canonical.atomic import TEMPORARY_PREFIX, partial_folder, publish_folder, write_atomic
from samebits.errors import StorageError


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_and_replaces(tmp_path: Path) -> None:
    write_atomic(tmp_path / "f", b"old")
    write_atomic(tmp_path / "f", [b"ne", memoryview(b"w")])
    assert (tmp_path / "f").read_bytes() == b"new"
    assert _names(tmp_path) == ["f"]


def test_a_full_disk_keeps_the_old_file_and_leaves_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomic(tmp_path / "f", b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"No space left.*make room"):
        write_atomic(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert _names(tmp_path) == ["f"]


def test_an_error_of_the_producer_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    def pieces():  # type: ignore[no-untyped-def]
        yield b"half"
        raise ValueError("producer")

    with pytest.raises(ValueError, match="producer"):
        write_atomic(tmp_path / "f", pieces())
    assert not (tmp_path / "f").exists()


def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"kept")
    (tmp_path / f"{TEMPORARY_PREFIX}f").symlink_to(tmp_path / "precious")
    write_atomic(tmp_path / "f", b"new")
    assert (tmp_path / "precious").read_bytes() == b"kept"
    assert not (tmp_path / "f").is_symlink()


def test_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file") as caught:
        write_atomic(tmp_path / "no" / "f", b"")
    assert "room" not in str(caught.value)


def test_folder_is_published_whole_and_leftovers_are_replaced(tmp_path: Path) -> None:
    (tmp_path / f"{TEMPORARY_PREFIX}d").mkdir()
    (tmp_path / f"{TEMPORARY_PREFIX}d" / "rubbish").write_bytes(b"")
    temporary = partial_folder(tmp_path / "d")
    (temporary / "f").write_bytes(b"1")
    assert not (tmp_path / "d").exists()
    publish_folder(temporary, tmp_path / "d")
    assert _names(tmp_path) == ["d"]
    assert _names(tmp_path / "d") == ["f"]


def test_a_taken_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "kept").write_bytes(b"")
    with pytest.raises(StorageError, match="free and writable"):
        publish_folder(partial_folder(tmp_path / "d"), tmp_path / "d")
    assert _names(tmp_path / "d") == ["kept"]
