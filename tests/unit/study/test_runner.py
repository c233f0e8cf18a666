"""Children: what they are given, and that none outlives its time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from samebits.errors import StorageError
from samebits.study.runner import ChildRunner, Job, read_tail

TELL = (
    "import os, sys; print(os.getcwd()); print(sys.argv[1:]); print(os.environ.get('KNOB'), os.environ['PYTHONPATH'])"
)


def job_in(tmp_path: Path, **arguments: object) -> Job:
    values: dict[str, object] = {
        "run": tmp_path / "run", "log": tmp_path / "log", "folder": tmp_path, "environment": {}, **arguments,
    }  # fmt: skip
    return Job(**values)  # type: ignore[arg-type]


def test_a_child_gets_its_folder_variables_and_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "src")
    script = tmp_path / "tell.py"
    script.write_text(TELL)
    job = job_in(tmp_path, environment={"KNOB": "on"}, settings=("threads=1",))
    outcome = ChildRunner((sys.executable, str(script))).train(job)
    folder, arguments, variables = (tmp_path / "log").read_text().splitlines()
    assert outcome.problem is None
    assert folder == str(tmp_path)
    assert arguments == str(["-m", "samebits", "train", "--out", str(tmp_path / "run"), "--json", "--set", "threads=1"])
    assert variables == f"on {Path('src').resolve()}"


def test_a_hosted_child_runs_its_prelude_and_is_not_replaced(tmp_path: Path) -> None:
    prelude = "import sys; print('hash', hash('samebits')); sys.argv[1:] = ['--version']"
    job = job_in(tmp_path, prelude=prelude, environment={"PYTHONHASHSEED": "7"})
    first = ChildRunner().train(job)
    lines = (tmp_path / "log").read_text()
    ChildRunner().train(job)
    assert first.problem is None
    assert "samebits, version" in lines
    assert (tmp_path / "log").read_text() == lines
    ChildRunner().train(job_in(tmp_path, prelude=prelude, environment={"PYTHONHASHSEED": "8"}))
    assert (tmp_path / "log").read_text() != lines


def test_a_failing_child_shows_the_end_of_its_output(tmp_path: Path) -> None:
    script = tmp_path / "fail.py"
    script.write_text("import sys; print('\\x1b[31mred'); sys.exit('the reason')")
    outcome = ChildRunner((sys.executable, str(script))).train(job_in(tmp_path))
    assert outcome.problem == "it ended with exit code 1"
    assert outcome.tail.endswith("the reason")
    assert "\x1b" not in outcome.tail


@pytest.mark.skipif(os.name == "nt", reason="process groups are POSIX's")
def test_a_child_out_of_time_is_ended_with_its_own_children(tmp_path: Path) -> None:
    script = tmp_path / "stubborn.py"
    script.write_text(
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    outcome = ChildRunner((sys.executable, str(script)), timeout_s=3).train(job_in(tmp_path))
    assert outcome.problem == "it did not end within 3 s"
    assert has_ended(int((tmp_path / "log").read_text().split()[0]))


@pytest.mark.skipif(os.name == "nt", reason="process groups are POSIX's")
def test_our_interruption_ends_the_child(tmp_path: Path) -> None:
    script = tmp_path / "long.py"
    script.write_text("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    log = tmp_path / "log"

    def interrupt() -> None:
        while not log.exists() or not log.read_text().strip():
            time.sleep(0.05)
        os.kill(os.getpid(), 2)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        ChildRunner((sys.executable, str(script))).train(job_in(tmp_path))
    assert has_ended(int(log.read_text()))


STUDY = """
import os, sys
from pathlib import Path
from samebits.study.runner import ChildRunner, Job

here = Path(sys.argv[1])
ChildRunner((sys.executable, sys.argv[2])).train(Job(here / "run", here / "log", here, {}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with the process that started it")
def test_a_child_does_not_outlive_a_study_that_was_killed(tmp_path: Path) -> None:
    script, log = tmp_path / "long.py", tmp_path / "log"
    script.write_text("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    study = subprocess.Popen([sys.executable, "-c", STUDY, str(tmp_path), str(script)])
    deadline = time.monotonic() + 60
    while not log.exists() or not log.read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child = int(log.read_text())
    assert not has_ended(child, wait_s=0.3)
    study.kill()
    study.wait()
    assert has_ended(child)


def test_a_resumed_job_says_so_to_the_child(tmp_path: Path) -> None:
    script = tmp_path / "tell.py"
    script.write_text("import sys; print(sys.argv[-1]); sys.exit(75)")
    outcome = ChildRunner((sys.executable, str(script))).train(job_in(tmp_path, resume=True))
    assert (tmp_path / "log").read_text() == "--resume\n"
    assert (outcome.exit_code, outcome.problem) == (75, "it ended with exit code 75")


def test_a_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="startable"):
        ChildRunner().train(job_in(tmp_path, log=tmp_path / "missing" / "log"))


def test_a_tail_is_short_whatever_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x\xff\n" * 100_000 + b"last")
    lines = read_tail(log).splitlines()
    assert len(lines) == 20
    assert lines[-1] == "last"


def has_ended(pid: int, wait_s: float = 10) -> bool:
    """Whether a process is gone in a while, or a zombie that waits for init."""
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] == "Z":
                return True
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False
