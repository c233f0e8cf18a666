"""A Debian of another processor, or for a container, in a folder: Python, samebits' requirements and its kernels.

tools/reproduce_golden.py trains in it. Debian's packages are only unpacked and wheels are installed from outside, so
that nothing is emulated but the training.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from samebits.numerics import build  # noqa: E402

LIMIT_S = 900


class NotHereError(Exception):
    """This machine cannot run a cell."""


@dataclass(frozen=True)
class Foreign:
    """A Debian root for another processor, or for a container.

    Args:
        debian, suite, python: its architecture, its release and that release's Python.
        platform: a name of build.py's PLATFORMS.
        emulator: what runs it; empty: this processor.
        packages: Python packages that Debian has and the index has no wheel of.
        left_out: requirements that do not apply there (hf-xet is asked for on x86-64 and arm only).
    """

    debian: str
    platform: str
    emulator: str = ""
    suite: str = "bookworm"
    python: str = "3.11"
    packages: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


_FROM_DEBIAN = ("python3-numpy", "python3-yaml", "python3-markupsafe")
_NOT_AS_WHEELS = ("numpy", "pyyaml", "markupsafe", "hf-xet")
FOREIGN = {
    "aarch64": Foreign("arm64", "linux-aarch64", "qemu-aarch64-static"),
    "riscv64": Foreign(
        "riscv64", "linux-riscv64", "qemu-riscv64-static", "trixie", "3.13", _FROM_DEBIAN, _NOT_AS_WHEELS
    ),
    "s390x": Foreign("s390x", "linux-s390x", "qemu-s390x-static", "trixie", "3.13", _FROM_DEBIAN, _NOT_AS_WHEELS),
}
CONTAINER = Foreign("amd64", "linux-x86_64")
# glibc versions that wheels ask for, up to each release's own.
GLIBC = {"bookworm": (17, 24, 26, 27, 28, 31, 34, 35, 36), "trixie": (17, 24, 26, 27, 28, 31, 34, 35, 36, 39, 41)}


def run(words: Sequence[object], **options: Any) -> str:
    """Run a program to its end and return what it printed.

    Raises:
        RuntimeError: it could not be started, took too long, or failed.
    """
    try:
        done = subprocess.run(
            [str(word) for word in words],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT_S,
            check=False,
            **options,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"{words[0]}: {error}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["nothing printed"]
        # apt names the first thing that was missing first; the rest follows from it. Addresses are nobody's business.
        reason = next((line for line in lines if line.startswith("E: ")), lines[-1])
        raise RuntimeError(f"exit code {done.returncode}: {re.sub(r'[a-z]+://[^ ]*/|.IP: .*', '', reason)[:200]}")
    return str(done.stdout)


def debian_root(foreign: Foreign, root: Path, python_here: Path) -> None:
    """Unpack a Debian with Python, the wheels of samebits' requirements and kernels compiled here.

    Args:
        foreign: what to unpack.
        root: the new folder.
        python_here: a Python of this machine with samebits installed, whose versions are taken.
    Raises:
        NotHereError: a part is missing here or nowhere to be had.
    """
    if os.name == "nt" or os.geteuid():
        raise NotHereError("only root can make another root")
    if shutil.which("mmdebstrap") is None:
        raise NotHereError("there is no mmdebstrap")
    if importlib.util.find_spec("ziglang") is None:
        raise NotHereError("this Python has no ziglang: run .venv/bin/python")
    python = f"python{foreign.python}"
    packages = [python, f"{python}-minimal", f"lib{python}-stdlib", "libc6", "libstdc++6", "zlib1g", "libgomp1"]
    # Only unpacked: no script of any package runs, so that nothing of it is emulated.
    include = ",".join([*packages, "base-files", "coreutils", "dash", "usrmerge", *foreign.packages])
    words = ["mmdebstrap", "--variant=extract", "--mode=root", f"--arch={foreign.debian}", f"--include={include}"]
    try:
        run([*words, foreign.suite, root, *_debian_mirror()])
    except RuntimeError as error:
        raise NotHereError(f"Debian {foreign.suite} for {foreign.debian} could not be had whole: {error}") from error
    site = root / "opt" / "site"
    _wheels(foreign, site, python_here)
    shutil.copytree(ROOT / "src" / "samebits", site / "samebits", ignore=shutil.ignore_patterns("lib", "__pycache__"))
    build.build(foreign.platform, folder=site / "samebits" / "numerics" / "native" / "lib", compiler="")


def _wheels(foreign: Foreign, site: Path, python_here: Path) -> None:
    """Install, wheel by wheel, the versions that `pip install .` chose for this machine."""
    asked = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    pins = run([python_here, "-c", asked]).split()
    processor = foreign.platform.partition("-")[2]
    tags = [f"--platform=manylinux_2_{minor}_{processor}" for minor in reversed(GLIBC[foreign.suite])]
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    words += ["--no-compile", "--only-binary=:all:", f"--python-version={foreign.python}", "--implementation=cp"]
    words += [*tags, f"--platform=manylinux2014_{processor}", f"--target={site}"]
    for pin in pins:
        name = pin.partition("==")[0].lower().replace("_", "-")
        if name in ("samebits", "pip", "setuptools", *foreign.left_out):
            continue
        try:
            run([*words, pin])
        except RuntimeError as error:
            raise NotHereError(f"there is no wheel of {pin} for {processor}") from error


def _debian_mirror() -> Iterator[str]:
    """Yield the mirror that this Debian uses; none: mmdebstrap knows one."""
    sources = {
        "/etc/apt/sources.list.d/debian.sources": r"^URIs: (\S+)",
        "/etc/apt/sources.list": r"^deb (http\S+)",
    }
    for path, pattern in sources.items():
        if Path(path).is_file() and (found := re.search(pattern, Path(path).read_text(encoding="utf-8"), re.MULTILINE)):
            yield found[1]
            return
