"""Write requirements/lock.txt: every package of a checkout's .venv, pinned, with hashes, for every platform.

Beside it the parts of it that docker/Dockerfile installs: image.txt (samebits' own requirements), image-build.txt (what
builds its wheel) and image-torch.txt (the extra `torch`).

    make lock

uv resolves once for all platforms and Python versions, from PyPI alone. torch on Linux is not asked of PyPI, whose
wheel there is the CUDA build: requirements/torch-linux.txt pins the CPU build and requirements/torch-linux.in says what
that needs. The lock names no index and no folder, so it works behind any mirror.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
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


IMAGE_HEADER = """\
# Written by `make lock` (tools/lock_requirements.py) out of lock.txt; do not edit. Installed by docker/Dockerfile: {}.
"""


def main() -> None:
    """Resolve with a uv of a known version, in a temporary environment."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        scripts = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin")
        subprocess.run([scripts / "python", "-m", "pip", "install", "--quiet", UV], check=True)
        overrides = Path(folder) / "overrides.txt"
        overrides.write_text(f"torch=={TORCH} ; sys_platform != 'linux'\n", encoding="utf-8")
        options: list[str | Path] = ["--universal", "--generate-hashes", "--no-annotate", "--no-config"]
        compiled = [scripts / "uv", "pip", "compile", "--quiet", "--no-header", "--python-version", "3.11", *options]
        compiled += ["--override", overrides]
        project, torch_linux = ROOT / "pyproject.toml", REQUIREMENTS / "torch-linux.in"
        resolved = _resolve([*compiled, "--extra", "dev", project, torch_linux])
        # What was resolved once binds the parts: they are pieces of the lock, never another resolution.
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text(resolved, encoding="utf-8")
        compiled += ["--constraint", constraints]
        build_system = Path(folder) / "build.in"
        requires = tomllib.loads(project.read_text(encoding="utf-8"))["build-system"]["requires"]
        build_system.write_text("".join(line.replace("\n", " ") + "\n" for line in requires), encoding="utf-8")
        plain = _resolve([*compiled, project])
        build = _resolve([*compiled, build_system])
        with_torch = _resolve([*compiled, "--extra", "torch", project, torch_linux])
    linux = (REQUIREMENTS / "torch-linux.txt").read_text(encoding="utf-8")
    if f"torch=={TORCH}+cpu" not in linux:
        raise SystemExit(f"error: requirements/torch-linux.txt must pin torch=={TORCH}+cpu")
    _write("lock.txt", HEADER + resolved + linux)
    _write("image.txt", IMAGE_HEADER.format("samebits' own requirements") + plain)
    _write("image-build.txt", IMAGE_HEADER.format("what builds samebits' wheel") + build)
    _write("image-torch.txt", IMAGE_HEADER.format("the extra `torch`, where asked for") + with_torch + linux)


def _resolve(command: list[str | Path]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode()


def _write(name: str, text: str) -> None:
    with (REQUIREMENTS / name).open("w", encoding="utf-8", newline="\n") as lock:
        lock.write(text)


if __name__ == "__main__":
    main()
