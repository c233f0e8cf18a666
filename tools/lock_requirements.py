"""Write requirements/lock.txt: every package of a checkout's .venv, pinned, with hashes, for every platform.

    make lock

uv resolves once for all platforms and Python versions, from PyPI alone. torch on Linux is not asked of PyPI, whose
wheel there is the CUDA build: requirements/torch-linux.txt pins the CPU build and requirements/torch-linux.in says what
that needs. The lock names no index and no folder, so it works behind any mirror.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
UV = "uv==0.13.9"
TORCH = "2.13.0"
HEADER = """\
# Written by `make lock` (tools/lock_requirements.py); do not edit.
# Everything that a checkout's .venv holds, for Python 3.11 to 3.14 on Linux (x86-64, aarch64), macOS (arm64) and
# Windows (x86-64).
"""


def main() -> None:
    """Resolve with a uv of a known version, in a temporary environment."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        scripts = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin")
        subprocess.run([scripts / "python", "-m", "pip", "install", "--quiet", UV], check=True)
        overrides = Path(folder) / "overrides.txt"
        overrides.write_text(f"torch=={TORCH} ; sys_platform != 'linux'\n", encoding="utf-8")
        options: list[str | Path] = ["--universal", "--python-version", "3.11", "--generate-hashes", "--extra", "dev"]
        options += ["--no-annotate", "--no-config"]
        inputs = [ROOT / "pyproject.toml", REQUIREMENTS / "torch-linux.in"]
        resolved = subprocess.run(
            [scripts / "uv", "pip", "compile", "--quiet", "--no-header", *options, "--override", overrides, *inputs],
            check=True,
            stdout=subprocess.PIPE,
        ).stdout.decode()
    linux = (REQUIREMENTS / "torch-linux.txt").read_text(encoding="utf-8")
    if f"torch=={TORCH}+cpu" not in linux:
        raise SystemExit(f"error: requirements/torch-linux.txt must pin torch=={TORCH}+cpu")
    with (REQUIREMENTS / "lock.txt").open("w", encoding="utf-8", newline="\n") as lock:
        lock.write(HEADER + resolved + linux)


if __name__ == "__main__":
    main()
