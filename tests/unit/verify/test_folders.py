from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from samebits.canonical.digests import sha256_bytes
from samebits.errors import RecordError
from samebits.verify.folders import FolderComparison, compare_folders

FILES = {"a.txt": b"alpha\n", "b.txt": b"beta\n", "deep/c.txt": b"gamma\n", "empty": b""}


def write(folder: Path, contents: Mapping[str, bytes]) -> Path:
    folder.mkdir()
    for path, data in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def compared(tmp_path: Path, candidate: Mapping[str, bytes]) -> FolderComparison:
    return compare_folders(write(tmp_path / "golden", FILES), write(tmp_path / "candidate", candidate))


def kinds(found: FolderComparison) -> list[tuple[str, str]]:
    return [(difference.kind, difference.where) for difference in found.differences]


def test_same(tmp_path: Path) -> None:
    found = compared(tmp_path, FILES)
    assert (found.differences, found.n_files, found.n_same) == ([], 4, 4)
    assert found.golden_files == found.candidate_files
    assert found.golden_files["deep/c.txt"] == {"sha256": sha256_bytes(b"gamma\n"), "bytes": 6}


def test_known_difference(tmp_path: Path) -> None:
    found = compared(tmp_path, {**FILES, "deep/c.txt": b"gamna\n"})
    assert kinds(found) == [("file", "deep/c.txt")]
    assert found.n_same == 3


def test_missing_and_extra(tmp_path: Path) -> None:
    candidate = {**FILES, "new.txt": b"new"}
    del candidate["b.txt"]
    assert kinds(compared(tmp_path, candidate)) == [("missing", "b.txt"), ("extra", "new.txt")]


def test_renamed(tmp_path: Path) -> None:
    candidate = {**FILES, "deep/d.txt": FILES["deep/c.txt"]}
    del candidate["deep/c.txt"]
    found = compared(tmp_path, candidate)
    assert kinds(found) == [("renamed", "deep/c.txt")]
    assert found.differences[0].candidate == "deep/d.txt"


def test_exchanged(tmp_path: Path) -> None:
    found = compared(tmp_path, {**FILES, "a.txt": FILES["b.txt"], "b.txt": FILES["a.txt"]})
    assert kinds(found) == [("exchanged", "a.txt and b.txt")]


def test_copied_over_another(tmp_path: Path) -> None:
    found = compared(tmp_path, {**FILES, "a.txt": FILES["b.txt"]})
    assert kinds(found) == [("moved", "a.txt")]
    assert found.differences[0].note == "it holds the content of the golden's b.txt"


def test_an_emptied_file_is_not_a_copy_of_an_empty_one(tmp_path: Path) -> None:
    found = compared(tmp_path, {**FILES, "a.txt": b""})
    assert kinds(found) == [("truncated", "a.txt")]


def test_a_folder_in_a_files_place(tmp_path: Path) -> None:
    candidate = {**FILES, "a.txt/inner": b"1"}
    del candidate["a.txt"]
    assert kinds(compared(tmp_path, candidate)) == [("not a file", "a.txt"), ("extra", "a.txt/inner")]


@pytest.mark.timeout(20)
def test_links_and_pipes_are_told_and_never_opened(tmp_path: Path) -> None:
    golden, candidate = write(tmp_path / "golden", FILES), write(tmp_path / "candidate", FILES)
    outside = tmp_path / "outside"
    outside.write_bytes(FILES["a.txt"])
    (candidate / "a.txt").unlink()
    (candidate / "a.txt").symlink_to(outside)
    (candidate / "b.txt").unlink()
    os.mkfifo(candidate / "b.txt")
    (candidate / "extra").symlink_to("/")
    found = compare_folders(golden, candidate)
    assert kinds(found) == [("refused", "a.txt"), ("refused", "b.txt"), ("extra", "extra")]
    link, pipe, extra = found.differences
    assert not link.is_proven
    assert not pipe.is_proven
    assert extra.is_proven
    assert link.candidate == f"symbolic link to {outside}"
    assert "has a FIFO here" in pipe.note
    assert found.unread == {"a.txt", "b.txt"}


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="folder must be readable"):
        compare_folders(write(tmp_path / "golden", FILES), tmp_path / "none")


def test_names_that_are_no_text_are_compared(tmp_path: Path) -> None:
    name = os.fsdecode(b"bad\xff")
    try:
        golden, candidate = write(tmp_path / "golden", {name: b"1\n"}), write(tmp_path / "candidate", {name: b"2\n"})
    except OSError:
        pytest.skip("this file system takes only names that are text")
    assert kinds(compare_folders(golden, candidate)) == [("file", name)]


def test_files_of_both_sides_are_counted(tmp_path: Path) -> None:
    candidate = {**FILES, "new.txt": b"new"}
    del candidate["b.txt"]
    found = compared(tmp_path, candidate)
    assert (found.n_files, found.n_golden_files, found.n_same) == (5, 4, 3)
