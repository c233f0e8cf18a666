from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from samebits.errors import CheckpointError, StorageError, UsageError
from samebits.record.layout import RunFolder
from samebits.record.target import check_target


def test_a_new_or_empty_folder_may_be_written_to(tmp_path: Path) -> None:
    for resume in (False, True):
        check_target(RunFolder(tmp_path / "new"), resume=resume)
        check_target(RunFolder(tmp_path), resume=resume)


@pytest.mark.parametrize("name", ["checkpoints", "notes.txt", ".partial-golden"])
def test_a_folder_with_anything_in_it_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match=r"the run folder must be new or empty, got one with .* or resume this run"):
        check_target(RunFolder(tmp_path), resume=False)


def test_a_finished_run_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "artifact_summary.json").write_text("{}")
    with pytest.raises(UsageError, match="got a finished run"):
        check_target(RunFolder(tmp_path), resume=False)


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="the run folder must be a folder"):
        check_target(RunFolder(tmp_path / "file"), resume=True)


def test_a_killed_run_may_be_resumed_and_a_strange_folder_not(tmp_path: Path) -> None:
    for name in ("checkpoints", "observed", "golden", ".partial-golden"):
        (tmp_path / name).mkdir()
    check_target(RunFolder(tmp_path), resume=True)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=r"a folder to resume must hold a run and nothing else, got notes\.txt"):
        check_target(RunFolder(tmp_path), resume=True)


CHECK = """
import sys
from pathlib import Path
from samebits.errors import StorageError
from samebits.record.target import check_target
from samebits.record.layout import RunFolder
try:
    check_target(RunFolder(Path(sys.argv[1])), resume=False)
except StorageError as error:
    print(error)
"""


def test_the_check_leaves_nothing_behind(tmp_path: Path) -> None:
    check_target(RunFolder(tmp_path / "a" / "b"), resume=False)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "kept").mkdir()
    check_target(RunFolder(tmp_path / "kept"), resume=False)
    assert list(tmp_path.rglob("*")) == [tmp_path / "kept"]


@pytest.mark.parametrize("name", ["file/run", "file/a/run", "x" * 300, "null\0character"])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(StorageError, match=r"the run folder must be writable, got .*; name another folder"):
        check_target(RunFolder(tmp_path / name), resume=False)
    assert list(tmp_path.rglob("*")) == [tmp_path / "file"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no file system of the kernel's here")
def test_a_folder_below_proc_is_refused() -> None:
    with pytest.raises(StorageError, match="the run folder must be writable"):
        check_target(RunFolder(Path("/proc/samebits/run")), resume=False)


@pytest.mark.parametrize("name", ["", "run"])
def test_a_read_only_mount_is_refused(tmp_path: Path, name: str) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here to mount with")
    script = 'mount -t tmpfs -o ro none "$1" || exit 77; exec "$2" -c "$3" "$1/$4"'
    child = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", tmp_path, sys.executable, CHECK, name],
        capture_output=True,
        text=True,
    )
    if child.returncode == 77 or child.stderr.startswith("unshare:"):
        pytest.skip(f"no mount can be made here: {child.stderr.strip()}")
    assert (child.returncode, child.stderr) == (0, "")
    assert child.stdout.startswith("the run folder must be writable, got [Errno 30] Read-only file system")


def test_a_finished_run_needs_no_write(tmp_path: Path) -> None:
    (tmp_path / "artifact_summary.json").write_text("{}")
    changed = tmp_path.stat().st_mtime_ns
    check_target(RunFolder(tmp_path), resume=True)
    assert tmp_path.stat().st_mtime_ns == changed
