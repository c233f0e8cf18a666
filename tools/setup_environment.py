"""Make the checkout's .venv, with every extra of samebits in it.

    python tools/setup_environment.py

Run it with the Python (3.11 or newer) that the .venv should have; it needs nothing but pip. It installs
requirements/lock.txt, each file checked against its SHA-256, and then samebits itself in editable form. Where nothing
changed it does nothing; a set-up that was interrupted starts again from an empty .venv.
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


def main() -> None:
    """Bring .venv to the state that the lock and pyproject.toml describe."""
    if sys.version_info < OLDEST_PYTHON:
        _stop(
            "Python must be 3.11 or newer, got {} ({}); run this script with a newer one".format(
                ".".join(map(str, sys.version_info[:3])), sys.executable
            )
        )
    wanted = _state()
    if _stamp() == wanted and _works():
        print(f"{VENV} is up to date")
        return
    if Path(sys.prefix).resolve() == VENV:
        _stop(f"the set-up must be run by a Python outside {VENV}, got {sys.executable}; deactivate it first")
    _install(_make_venv(fresh=_was_made_otherwise(wanted) or not _works()))
    STAMP.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
    print(f"{VENV} is ready: {_python()} -m samebits --help")


def _state() -> dict[str, str]:
    digest = hashlib.sha256()
    for path in (LOCK, TORCH_LOCK, ROOT / "pyproject.toml"):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return {"inputs_sha256": digest.hexdigest(), "python": sys.version, "folder": str(VENV)}


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


def _make_venv(*, fresh: bool) -> list[str]:
    """Return the pip command that installs into .venv."""
    # Debian's Python has pip and venv but not always ensurepip; its pip can then install into .venv from outside.
    bundled = importlib.util.find_spec("ensurepip") is not None
    if fresh:
        print(f"making {VENV} with Python {sys.version.split()[0]}", flush=True)
        venv.EnvBuilder(clear=True, symlinks=os.name != "nt", with_pip=bundled).create(VENV)
    else:
        # An interruption from here on leaves no stamp, and the next set-up starts from an empty folder.
        STAMP.unlink()
    return [str(_python()), "-m", "pip"] if bundled else [sys.executable, "-m", "pip", "--python", str(_python())]


def _install(pip: list[str]) -> None:
    if sys.platform == "linux":
        _install_torch(pip)
    print("installing the packages of requirements/lock.txt", flush=True)
    _run([*pip, "install", "--quiet", "--require-hashes", "-r", str(LOCK)])
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
