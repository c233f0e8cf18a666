"""The set-up of a checkout: once, again, after an interruption, against a damaged package. No network."""

import base64
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BASE_PYTHON = str(Path(sys.base_prefix) / ("python.exe" if os.name == "nt" else f"bin/python{sys.version_info.major}"))

BUILD_BACKEND = """
import pathlib, shutil
def build_editable(folder, config_settings=None, metadata_directory=None):
    source = pathlib.Path("src/samebits/numerics/native/kernel.cpp")
    if source.exists():
        assert source.read_text() != "broken", "the kernels must compile"
        libraries = source.parent / "lib" / "here"
        libraries.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, libraries / "libsamebits_any.so")
    shutil.copy("checkout-1.0-py3-none-any.whl", folder)
    return "checkout-1.0-py3-none-any.whl"
"""

PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "checkout"
version = "1.0"
"""


def _write_wheel(folder: Path, name: str, version: str) -> str:
    """Write a wheel of one empty module and return its pinned requirement."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{file},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},"
        f"{len(text)}\n"
        for file, text in files.items()
    )
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(file, text)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


WITHOUT_ENSUREPIP = (
    "-c",
    "import runpy, sys; sys.modules['ensurepip'] = None; runpy.run_path(sys.argv[1], run_name='__main__')",
)
"""Debian's Python without its venv package; also the quicker way, for pip is not copied into .venv."""


class Checkout:
    """A folder with the real script and a lock of two tiny packages."""

    def __init__(self, root: Path) -> None:
        self.root, self.wheels = root / "checkout", root / "wheels"
        for folder in (self.wheels, self.root / "tools", self.root / "requirements"):
            folder.mkdir(parents=True)
        self.script = self.root / "tools" / "setup_environment.py"
        shutil.copy(ROOT / "tools" / "setup_environment.py", self.script)
        (self.root / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
        (self.root / "backend.py").write_text(BUILD_BACKEND, encoding="utf-8")
        _write_wheel(self.root, "checkout", "1.0")
        self.torch = _write_wheel(self.wheels, "torch", "2.13.0+cpu")
        (self.root / "requirements" / "torch-linux.txt").write_text(self.torch, encoding="utf-8")
        self.lock(_write_wheel(self.wheels, "small", "1.0"))
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON"))},
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_NO_INDEX": "1",
        }

    def lock(self, *requirements: str) -> None:
        (self.root / "requirements" / "lock.txt").write_text("".join([*requirements, self.torch]), encoding="utf-8")

    def start(self, *before: str) -> subprocess.Popen[str]:
        command = [BASE_PYTHON, *before, str(self.script)]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, env=self.environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def set_up(self, *before: str) -> tuple[int, str, str]:
        started = self.start(*before)
        out, err = started.communicate(timeout=300)
        return started.returncode, out, err

    def holds(self, *modules: str) -> bool:
        python = self.root / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        return subprocess.run([python, "-c", f"import {', '.join(modules)}"], capture_output=True).returncode == 0


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_sets_up_once_then_only_what_changed(checkout: Checkout) -> None:
    code, out, err = checkout.set_up()
    assert code == 0, err
    assert "making" in out
    assert checkout.holds("torch", "small", "checkout", "pip")
    assert checkout.set_up()[1].endswith("is up to date\n")

    checkout.lock(_write_wheel(checkout.wheels, "small", "1.0"), _write_wheel(checkout.wheels, "another", "1.0"))
    code, out, err = checkout.set_up()
    assert code == 0, err
    assert "making" not in out
    assert checkout.holds("another")


def test_changed_kernels_are_compiled_again_and_nothing_else_is_done(checkout: Checkout) -> None:
    native = checkout.root / "src" / "samebits" / "numerics" / "native"
    native.mkdir(parents=True)
    library = native / "lib" / "here" / "libsamebits_any.so"
    (native / "kernel.cpp").write_text("one", encoding="utf-8")
    assert checkout.set_up(*WITHOUT_ENSUREPIP)[0] == 0
    assert library.read_text(encoding="utf-8") == "one"
    assert checkout.set_up(*WITHOUT_ENSUREPIP)[1].endswith("is up to date\n")

    (native / "kernel.cpp").write_text("two", encoding="utf-8")
    code, out, err = checkout.set_up(*WITHOUT_ENSUREPIP)
    assert code == 0, err
    assert library.read_text(encoding="utf-8") == "two"
    assert "making" not in out
    assert "requirements/lock.txt" not in out

    # One that does not compile is said each time, and costs neither .venv nor the libraries that were there.
    (native / "kernel.cpp").write_text("broken", encoding="utf-8")
    for _ in range(2):
        code, out, err = checkout.set_up(*WITHOUT_ENSUREPIP)
        assert code == 1
        assert "the kernels must compile" in err
        assert "making" not in out
    assert library.exists()

    (native / "kernel.cpp").write_text("two", encoding="utf-8")
    library.unlink()
    assert checkout.set_up(*WITHOUT_ENSUREPIP)[0] == 0
    assert library.read_text(encoding="utf-8") == "two"


@pytest.mark.skipif(os.name == "nt", reason="a process group is killed at once, which Windows does not have")
@pytest.mark.parametrize(
    ("before", "moment"),
    [((), "lib/*/site-packages/pip"), (WITHOUT_ENSUREPIP, "lib/*/site-packages/torch.py")],
    ids=["making", "installing"],
)
def test_a_killed_set_up_starts_again(checkout: Checkout, before: tuple[str, ...], moment: str) -> None:
    started = checkout.start(*before)
    deadline_s = time.monotonic() + 120
    while not list((checkout.root / ".venv").glob(moment)):
        assert started.poll() is None, started.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.002)
    os.killpg(started.pid, signal.SIGKILL)
    started.communicate()

    code, out, err = checkout.set_up(*before)
    assert code == 0, err
    assert "making" in out
    assert checkout.holds("torch", "small", "checkout")


def test_a_damaged_package_is_refused(checkout: Checkout) -> None:
    _write_wheel(checkout.wheels, "other", "1.0")
    (checkout.wheels / "small-1.0-py3-none-any.whl").write_bytes(
        (checkout.wheels / "other-1.0-py3-none-any.whl").read_bytes()
    )
    code, _, err = checkout.set_up(*WITHOUT_ENSUREPIP)
    assert code == 1
    assert "DO NOT MATCH THE HASHES" in err
    assert "error: a step of the set-up failed" in err
    assert not checkout.holds("small")

    checkout.lock(_write_wheel(checkout.wheels, "small", "1.0"))
    assert checkout.set_up(*WITHOUT_ENSUREPIP)[0] == 0
    assert checkout.holds("small", "checkout")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes torch from elsewhere than PyPI")
def test_another_torch_is_refused(checkout: Checkout) -> None:
    (checkout.wheels / "torch-2.13.0+cpu-py3-none-any.whl").unlink()
    _write_wheel(checkout.wheels, "torch", "2.13.0")
    code, out, err = checkout.set_up(*WITHOUT_ENSUREPIP)
    assert code == 1
    assert "downloading it from https://download.pytorch.org/whl/cpu" in out
    assert "error: a step of the set-up failed" in err
    assert not checkout.holds("torch")


def test_a_python_without_ensurepip_sets_up(checkout: Checkout) -> None:
    code, _, err = checkout.set_up(*WITHOUT_ENSUREPIP)
    assert code == 0, err
    assert checkout.holds("torch", "small", "checkout")


def test_an_old_python_is_told(checkout: Checkout) -> None:
    old = "import runpy, sys; sys.version_info = (3, 9, 18); runpy.run_path(sys.argv[1], run_name='__main__')"
    code, _, err = checkout.set_up("-c", old)
    assert code == 1
    assert err.startswith("error: Python must be 3.11 or newer, got 3.9.18")
    assert not (checkout.root / ".venv").exists()
