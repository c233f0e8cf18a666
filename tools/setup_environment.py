"""Make the checkout's .venv, with every extra of samebits in it.

    python tools/setup_environment.py

Run it with the Python (3.11 or newer) that the .venv should have; it needs nothing but pip. It installs
requirements/lock.txt, each file checked against its SHA-256, and then samebits itself in editable form, which compiles
the kernels into the checkout. Where nothing changed it does nothing, where only the sources of the kernels changed it
compiles them again, and a set-up that was interrupted starts again from an empty .venv.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements" / "lock.txt"
TORCH_LOCK = ROOT / "requirements" / "torch-linux.txt"
STAMP = VENV / "samebits-setup.json"
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
OLDEST_PYTHON = (3, 11)
# What the editable install compiles, and where that lies.
NUMERICS = ROOT / "src" / "samebits" / "numerics"
KERNELS = (ROOT / "hatch_build.py", NUMERICS / "build.py", *sorted((NUMERICS / "native").glob("*.[ch]pp")))
LIBRARIES = NUMERICS / "native" / "lib"
KERNEL_KEYS = {"kernels_sha256", "compiler", "libraries"}


def main() -> None:
    """Bring .venv to the state that the lock and pyproject.toml describe."""
    if sys.version_info < OLDEST_PYTHON:
        _stop(
            "Python must be 3.11 or newer, got {} ({}); run this script with a newer one".format(
                ".".join(map(str, sys.version_info[:3])), sys.executable
            )
        )
    wanted, stamp = _state(), _stamp()
    if stamp == wanted and _works():
        print(f"{VENV} is up to date")
        return
    if stamp and all(stamp.get(key) == wanted[key] for key in wanted.keys() - KERNEL_KEYS) and _works():
        # The old stamp stands until the new kernels do: one that does not compile costs no .venv.
        _install_checkout(_pip())
        _finish(wanted)
        return
    if Path(sys.prefix).resolve() == VENV:
        _stop(f"the set-up must be run by a Python outside {VENV}, got {sys.executable}; deactivate it first")
    _make_venv(fresh=_was_made_otherwise(wanted) or not _works())
    _install(_pip())
    _finish(wanted)


def _finish(wanted: dict[str, str]) -> None:
    # Of the sources as they were before they were compiled: they may have changed meanwhile.
    STAMP.write_text(json.dumps({**wanted, "libraries": _libraries()}, indent=1) + "\n", encoding="utf-8")
    print(f"{VENV} is ready: {_python()} -m samebits --help")


def _state() -> dict[str, str]:
    return {
        "inputs_sha256": _digest([LOCK, TORCH_LOCK, ROOT / "pyproject.toml"]),
        "kernels_sha256": _digest([path for path in KERNELS if path.exists()]),
        "compiler": os.environ.get("SAMEBITS_CXX") or "ziglang",
        "libraries": _libraries(),
        "python": sys.version,
        "folder": str(VENV),
    }


def _libraries() -> str:
    """Name the libraries that lie in the checkout."""
    return " ".join(sorted(path.relative_to(LIBRARIES).as_posix() for path in LIBRARIES.glob("*/libsamebits_*")))


def _digest(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.name.encode() + b"\0" + path.read_bytes()).digest())
    return digest.hexdigest()


def _stamp() -> dict[str, str] | None:
    try:
        stamp: dict[str, str] = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stamp


def _was_made_otherwise(wanted: dict[str, str]) -> bool:
    """Return whether the .venv there was never finished, has another Python, or was moved (its scripts hold paths)."""
    stamp = _stamp()
    return stamp is None or any(stamp.get(key) != wanted[key] for key in ("python", "folder"))


def _python() -> Path:
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _works() -> bool:
    try:
        done = subprocess.run(
            [str(_python()), "-c", f"import sys; sys.exit(sys.version_info < {OLDEST_PYTHON})"], check=False
        )
    except OSError:
        return False
    return done.returncode == 0


def _make_venv(*, fresh: bool) -> None:
    if fresh:
        print(f"making {VENV} with Python {sys.version.split()[0]}", flush=True)
        venv.EnvBuilder(clear=True, symlinks=os.name != "nt", with_pip=_has_ensurepip()).create(VENV)
    else:
        # An interruption from here on leaves no stamp, and the next set-up starts from an empty folder.
        STAMP.unlink()


def _has_ensurepip() -> bool:
    return importlib.util.find_spec("ensurepip") is not None


def _pip() -> list[str]:
    """Return the pip command that installs into .venv."""
    # Debian's Python has pip and venv but not always ensurepip; its pip can then install into .venv from outside.
    bundled = _has_ensurepip()
    return [str(_python()), "-m", "pip"] if bundled else [sys.executable, "-m", "pip", "--python", str(_python())]


def _install(pip: list[str]) -> None:
    if sys.platform == "linux":
        _install_torch(pip)
    print("installing the packages of requirements/lock.txt", flush=True)
    _run([*pip, "install", "--quiet", "--require-hashes", "-r", str(LOCK)])
    _install_checkout(pip)


def _install_checkout(pip: list[str]) -> None:
    print("installing samebits and compiling its kernels", flush=True)
    _run([*pip, "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", str(ROOT)])


def _install_torch(pip: list[str]) -> None:
    """Install torch's CPU build: from where pip is set up to look, else from PyTorch's index of CPU wheels alone."""
    print("installing PyTorch's CPU build (about 190 MB)", flush=True)
    install = [*pip, "install", "--quiet", "--require-hashes", "--no-deps", "-r", str(TORCH_LOCK)]
    # PyPI does not hold this build, so that where nothing else is set up the first try ends within seconds.
    first = subprocess.run(install, check=False, stderr=subprocess.PIPE, text=True)
    if first.returncode == 0:
        return
    if "No matching distribution found" not in first.stderr:
        _stop(f"PyTorch must install, got:\n{first.stderr}")
    print(f"downloading it from {CPU_WHEELS}", flush=True)
    _run([*install, "--index-url", CPU_WHEELS])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False)
    if done.returncode:
        _stop(f"a step of the set-up failed ({' '.join(command)}); mend what it says above and run this script again")


def _stop(sentence: str) -> None:
    raise SystemExit(f"error: {sentence}")


if __name__ == "__main__":
    main()
