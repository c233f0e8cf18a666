"""Container engines: which one is here, and the command lines that run a program in an image. Standard library only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samebits.errors import ImageError, printable

RUNNERS = ("podman", "docker")
BUILDERS = ("podman", "buildah", "docker")
ARTIFACTS = "/app/artifacts"
STUDY_IMAGE = "samebits-study"
INSTALL = "install one with `make container-tools`"
_ASKED_LIMIT_S = 30


@dataclass(frozen=True)
class Engine:
    """A container engine that answers.

    Args:
        name: podman, buildah or docker.
        program: its path.
        version: as it tells.
        store: where it keeps images, with its own state beside it; the user's own store where left out.
    """

    name: str
    program: str
    version: str
    store: Path | None = None

    def words(self, *arguments: object) -> list[str]:
        """Return the command line of the engine, with what this machine needs before the arguments."""
        own: list[object] = []
        if self.store is not None and self.name != "docker":
            own += ["--root", self.store / "images", "--runroot", self.store / "state"]
        if self.name == "podman":
            # Without systemd nobody else keeps the groups or the journal.
            if not Path("/run/systemd/system").exists():
                own += ["--cgroup-manager", "cgroupfs", "--events-backend", "file"]
            # crun refuses machines that have both generations of control groups at once; runc runs on all.
            own += ["--runtime", "runc"] * (shutil.which("runc") is not None)
        return [self.program, *(str(word) for word in (*own, *arguments))]


def find_engine(asked: str, among: Sequence[str] = RUNNERS) -> Engine:
    """Return the engine that was asked for; `auto`: the first that answers.

    Raises:
        ImageError: none is here, or it does not answer.
    """
    reasons = []
    for name in among if asked == "auto" else [asked]:
        program = shutil.which(name)
        if program is None:
            reasons.append(f"no {name}")
            continue
        engine = Engine(name, program, "")
        # A docker client without its daemon is no engine, so that the daemon is asked.
        format_ = "{{.Server.Version}}" if name == "docker" else "{{.Version}}"
        words = [program, "--version"] if name == "buildah" else engine.words("version", "--format", format_)
        done = _ask(words)
        if done.returncode == 0:
            told = done.stdout.split()
            return Engine(name, program, told[2] if name == "buildah" else told[0])
        reasons.append(f"{name} does not answer: {_reason(done)}")
    raise ImageError("a container engine must be here", got="; ".join(reasons), remedy=INSTALL)


def engine_output(words: Sequence[object], *, limit_s: float | None = None, **options: Any) -> str:
    """Run an engine to its end and return what it printed.

    Raises:
        ImageError: it failed, with the last thing that it said.
    """
    done = _ask([str(word) for word in words], limit_s=limit_s, **options)
    if done.returncode:
        name = Path(str(words[0])).name
        raise ImageError(f"{name} must succeed", got=_reason(done), where=f"exit code {done.returncode}")
    return done.stdout


def _ask(
    words: Sequence[str], limit_s: float | None = _ASKED_LIMIT_S, **options: Any
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=limit_s, check=False, **options
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(words, 1, "", str(error))


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr or done.stdout).strip().splitlines() or ["nothing printed"]
    # What failed first explains what failed after it.
    told = next((line for line in lines if "rror" in line), lines[-1])
    return printable(told)[:300]


@dataclass(frozen=True)
class Container:
    """An image that is here, and the engine that runs it.

    Args:
        image_id: 64 hex digits, so that no later build under the same name is run instead.
        labels: of the image.
    """

    engine: Engine
    image_id: str
    labels: Mapping[str, str]

    @property
    def has_torch(self) -> bool:
        """Whether the image was built with the extra `torch`."""
        return self.labels.get("samebits.lock") == "image-torch"

    def words(self, name: str, artifacts: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        """Return the command line that runs samebits in the image.

        Args:
            name: of the container, by which `remove` finds it.
            artifacts: folder of this machine that is the image's folder of artifacts.
            arguments: of samebits.
            environment: variables inside.
        """
        return [
            *run_words(self.engine, mounts={artifacts: ARTIFACTS}, environment=environment, name=name),
            f"sha256:{self.image_id}" if self.engine.name == "docker" else self.image_id,
            *arguments,
        ]

    def remove(self, name: str) -> None:
        """End a container and remove it; nothing happens where there is none."""
        _ask(self.engine.words("rm", "--force", name))


def run_words(
    engine: Engine,
    *,
    mounts: Mapping[Path, str] | None = None,
    environment: Mapping[str, str] | None = None,
    name: str | None = None,
) -> list[str]:
    """Return the command line up to the image: no network, our own user, and limits that this process may give."""
    words: list[object] = ["run", "--rm", "--network=none"]
    words += ["--name", name] if name else []
    if mounts and hasattr(os, "getuid"):
        words += ["--user", f"{os.getuid()}:{os.getgid()}"]
        words += ["--userns=keep-id"] * (engine.name == "podman" and os.getuid() != 0)
    if engine.name == "podman":
        # Labels of SELinux would close a mounted folder to the container.
        words += ["--security-opt", "label=disable", *_limits()]
        # Its timer needs systemd, and a run ends by itself.
        words += ["--no-healthcheck"]
    for folder, inside in (mounts or {}).items():
        words += ["--volume", f"{folder}:{inside}"]
    for variable, value in (environment or {}).items():
        words += ["--env", f"{variable}={value}"]
    return engine.words(*words)


def _limits() -> list[str]:
    """Return limits that this process may give: podman asks for more by default, which not every root may have."""
    if sys.platform == "win32":
        return []
    import resource

    words = []
    for name, number, enough in (("nofile", resource.RLIMIT_NOFILE, 4096), ("nproc", resource.RLIMIT_NPROC, 16384)):
        hard = resource.getrlimit(number)[1]
        limit = enough if hard == resource.RLIM_INFINITY else min(hard, enough)
        words += ["--ulimit", f"{name}={limit}:{limit}"]
    return words


def find_container(asked: str, image: str = STUDY_IMAGE) -> Container:
    """Return the study's image in the store of an engine.

    Raises:
        ImageError: no engine, or none of the engines has the image.
    """
    reasons = []
    for name in RUNNERS if asked == "auto" else [asked]:
        try:
            engine = find_engine(name)
        except ImageError as error:
            reasons.append(str(error.got))
            continue
        done = _ask(engine.words("image", "inspect", image))
        try:
            told = json.loads(done.stdout)[0]
            image_id = str(told["Id"]).removeprefix("sha256:")
            labels = told["Config"].get("Labels") or {}
        except (ValueError, LookupError, TypeError, AttributeError):
            reasons.append(f"{engine.name} has no image {image}")
            continue
        return Container(engine, image_id, labels)
    remedy = "make it with `samebits image build`" if any("image" in reason for reason in reasons) else INSTALL
    raise ImageError(f"an engine must have the image {image}", got="; ".join(reasons), remedy=remedy)
