"""A child is changed before it starts, and inherits that; what a system refuses is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import samebits
from samebits.study.launcher import CHANGES
from samebits.study.runner import launched, refusal

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems start children without changes")
SOURCE = str(Path(samebits.__file__).parents[1])
TELL = (
    "import json, platform; from samebits.record.process import process_facts;"
    "print(json.dumps({**process_facts(), 'host': platform.node()}))"
)


def facts_after(*changes: str) -> dict[str, Any]:
    if (reason := refusal(changes)) is not None:
        pytest.skip(reason)
    command = launched([sys.executable, "-c", TELL], changes)
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


@pytest.mark.parametrize(
    ("change", "name", "expected"),
    [
        ("umask=027", "umask", "0027"),
        (f"core={max(os.sched_getaffinity(0)) if sys.platform == 'linux' else 0}", "allowed_cores", None),
        ("randomisation=off", "address_randomisation", False),
        ("host=somewhere-else", "host", "somewhere-else"),
        ("user=54321", "user_id", 54321),
    ],
)
def test_a_child_inherits_the_change_and_nothing_else(change: str, name: str, expected: Any) -> None:
    plain, changed = facts_after(), facts_after(change)
    assert {key for key in plain if plain[key] != changed[key]} == {name}
    if expected is not None:
        assert changed[name] == expected


def test_changes_add_up_in_every_order() -> None:
    for changes in (("user=54321", "host=elsewhere"), ("host=elsewhere", "user=54321")):
        facts = facts_after(*changes, "umask=000", "randomisation=off")
        assert (facts["user_id"], facts["host"], facts["umask"]) == (54321, "elsewhere", "0000")
        assert facts["address_randomisation"] is False


def test_files_stay_within_reach_of_another_user(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("text")
    (tmp_path / "mine").chmod(0o600)
    if (reason := refusal(("user=54321",))) is not None:
        pytest.skip(reason)
    code = "from pathlib import Path; Path('theirs').write_text(Path('mine').read_text())"
    subprocess.run(launched([sys.executable, "-c", code], ("user=54321",)), cwd=tmp_path, check=True)
    assert (tmp_path / "theirs").stat().st_uid == os.getuid()


def test_what_the_system_refuses_is_told() -> None:
    assert "Invalid argument" in str(refusal(("core=1000",)))
    assert refusal(()) is None


def test_every_change_has_a_function() -> None:
    assert set(CHANGES) == {"umask", "core", "randomisation", "host", "user", "disordered"}


STAND_IN = """#!/bin/sh
# Called as `disorderfs -f --reverse-dirents=yes SOURCE MOUNT_POINT`; like it, another file system at once.
[ "$1" = -f ] && [ "$2" = --reverse-dirents=yes ] || exit 3
made="$3.made"
mkdir "$made" && mount -t tmpfs none "$made" && cp "$3"/* "$made" && mount --move "$made" "$4" && exec sleep 300
"""


def test_a_package_is_imported_through_disorderfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, mount_point, tools = tmp_path / "source", tmp_path / "disordered", tmp_path / "tools"
    for folder in (source, mount_point, tools):
        folder.mkdir()
    (source / "marked.py").write_text("")
    (tools / "disorderfs").write_text(STAND_IN)
    (tools / "disorderfs").chmod(0o700)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    change = f"disordered={source}{os.pathsep}{mount_point}"
    if (reason := refusal((change,))) is not None:
        pytest.skip(reason)
    (tmp_path / "source.made").rmdir()
    code = "import marked, os; print(marked.__file__, os.path.ismount(os.path.dirname(marked.__file__)))"
    done = subprocess.run(launched([sys.executable, "-c", code], (change,)), capture_output=True, text=True, check=True)
    assert done.stdout == f"{mount_point / 'marked.py'} True\n"
    assert not os.path.ismount(mount_point), "the mount is the child's own"


def test_a_disorderfs_that_does_not_mount_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disorderfs").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "disorderfs").chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    reason = refusal((f"disordered={tmp_path}{os.pathsep}{tmp_path / 'there-is-none'}",))
    assert reason is not None
    assert "did not mount" in reason or "not allowed" in reason
