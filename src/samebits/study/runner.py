"""Training in a child process: its own process group, a time limit, its output in a log, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from samebits.errors import StorageError, printable
from samebits.images.container import ARTIFACTS, Container
from samebits.study import launcher

DEFAULT_TIMEOUT_S = 600.0
GRACE_S = 5.0
TAIL_LINES = 20
TAIL_BYTES = 8192
_TRIAL_LIMIT_S = 30
_LAUNCHER = (sys.executable, "-I", "-S", str(Path(launcher.__file__).resolve()))
_HOSTED = "{prelude}\nfrom samebits.cli.main import run\nraise SystemExit(run())"


@dataclass(frozen=True)
class Job:
    """One training to run.

    Args:
        run: the run folder to make.
        log: takes everything the child prints.
        folder: working folder, must exist.
        environment: variables over our own.
        settings: `key=value` pairs for `--set`.
        prelude: Python statements to run first in the same process; None starts samebits as a program.
        resume: go on with a run that lies in `run`.
        recipe: the recipe file; the embedded recipe where left out.
        changes: what the child is before it starts; see `launcher.CHANGES`.
        container: the image to train in; of this machine it sees the folder that holds `run` alone.
    """

    run: Path
    log: Path
    folder: Path
    environment: Mapping[str, str]
    settings: Sequence[str] = ()
    prelude: str | None = None
    resume: bool = False
    recipe: Path | None = None
    changes: Sequence[str] = ()
    container: Container | None = None


@dataclass(frozen=True)
class Outcome:
    """How a child ended; `problem` is None where it said that all went well, `exit_code` where it had to be ended."""

    wall_s: float
    problem: str | None = None
    tail: str = ""
    exit_code: int | None = None


class Runner(Protocol):
    """What runs a training; a child process normally."""

    def train(self, job: Job) -> Outcome:
        """Run one training to its end."""


class ChildRunner:
    """Runs `python -m samebits train` in a child process; on Linux it does not survive our own end, by SIGKILL too.

    Args:
        python: the interpreter's command line; a test puts a wrapper here.
        timeout_s: of one training; the child and its own children are ended after it.
    """

    def __init__(self, python: Sequence[str] = (sys.executable,), *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self.python = tuple(python)
        self.timeout_s = timeout_s

    def train(self, job: Job) -> Outcome:
        """Run one training to its end, its time limit, or our own interruption, which ends the child too.

        Raises:
            StorageError: the log cannot be written.
        """
        started_s = time.monotonic()
        try:
            with job.log.open("wb") as log:
                process = subprocess.Popen(
                    self._command(job),
                    cwd=job.folder,
                    env=self._environment(job),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=os.name != "nt",
                    creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                )
        except OSError as error:
            raise StorageError("a training must be startable", got=str(error), where=str(job.log)) from error
        problem: str | None = None
        exit_code: int | None = None
        try:
            exit_code = process.wait(self.timeout_s)
        except subprocess.TimeoutExpired:
            _end(process)
            _end_container(job)
            problem = f"it did not end within {self.timeout_s:.0f} s"
        except BaseException:
            _end(process)
            _end_container(job)
            raise
        else:
            problem = None if exit_code == 0 else _describe_exit(exit_code)
        wall_s = time.monotonic() - started_s
        return Outcome(wall_s, problem, "" if problem is None else read_tail(job.log), exit_code)

    def _command(self, job: Job) -> list[str]:
        if job.container is not None:
            return launched(_contained(job, job.container))
        entry = ["-m", "samebits"] if job.prelude is None else ["-c", _HOSTED.format(prelude=job.prelude)]
        settings = [argument for pair in job.settings for argument in ("--set", pair)]
        resume = ["--resume"] * job.resume
        recipe = [] if job.recipe is None else [str(job.recipe)]
        command = [*self.python, *entry, "train", *recipe, "--out", str(job.run), "--json", *resume, *settings]
        return launched(command, job.changes)

    def _environment(self, job: Job) -> dict[str, str]:
        environment = {**os.environ, **job.environment}
        # A relative entry would mean another folder in a child that works elsewhere.
        if path := environment.get("PYTHONPATH"):
            environment["PYTHONPATH"] = os.pathsep.join(str(Path(entry).resolve()) for entry in path.split(os.pathsep))
        return environment


def _contained(job: Job, container: Container) -> list[str]:
    """Return the command line of a training in a container, which knows the embedded recipe only."""
    if job.recipe is not None or job.prelude is not None or job.changes:
        raise ValueError("a container trains the embedded recipe, and nothing is changed before it starts")
    settings = [argument for pair in job.settings for argument in ("--set", pair)]
    arguments = ["train", "--out", f"{ARTIFACTS}/{job.run.name}", "--json", *["--resume"] * job.resume, *settings]
    return container.words(_container_name(job), job.run.parent, arguments, job.environment)


def _container_name(job: Job) -> str:
    return f"samebits-{os.getpid()}-{job.run.name}"


def _end_container(job: Job) -> None:
    # An engine's own process has no child there: the container outlives whoever asked for it.
    if job.container is not None:
        job.container.remove(_container_name(job))


def launched(command: Sequence[str], changes: Sequence[str] = ()) -> list[str]:
    """Return the command line that applies changes and then becomes `command`; on Linux it ends with this process."""
    if sys.platform != "linux" and not changes:
        return list(command)
    return [*_LAUNCHER, str(os.getpid()), *changes, launcher.CHANGES_END, *command]


def refusal(changes: Sequence[str]) -> str | None:
    """Return why this system does not allow changes, by trying them on a child that does nothing; None if it does."""
    command = launched([sys.executable, "-I", "-S", "-c", ""], changes)
    done = subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=_TRIAL_LIMIT_S, check=False
    )
    if done.returncode == 0:
        return None
    return printable(done.stderr.strip().rpartition("\n")[2]) or _describe_exit(done.returncode)


def read_tail(log: Path) -> str:
    """Return the last lines of a log, each printable."""
    with log.open("rb") as stream:
        size_bytes = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size_bytes - TAIL_BYTES))
        lines = stream.read().decode("utf-8", "replace").splitlines()
    return "\n".join(printable(line) for line in lines[-TAIL_LINES:])


def _describe_exit(exit_code: int) -> str:
    if exit_code < 0:
        try:
            return f"it was ended by {signal.Signals(-exit_code).name}"
        except ValueError:
            return f"it was ended by signal {-exit_code}"
    return f"it ended with exit code {exit_code}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started: asked first, then killed."""
    for name in ("SIGTERM", "SIGKILL"):
        _signal_group(process, name)
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            continue
        if name == "SIGKILL":
            return


def _signal_group(process: subprocess.Popen[bytes], name: str) -> None:
    if os.name == "nt":
        process.kill()
        return
    try:
        os.killpg(process.pid, getattr(signal, name))
    except (ProcessLookupError, PermissionError):
        # Nobody of the group is left, or (macOS) only what has ended already.
        return
