"""The kernels are compiled where the package is built: into a wheel, from a checkout or from an sdist of it."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from samebits.numerics.build import PLATFORMS, host_platform

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EPOCH = "1767225600"

if host_platform() not in PLATFORMS:
    pytest.skip(f"there are no kernels for {host_platform()}", allow_module_level=True)


def _build(target: str, root: Path, out: Path) -> Path:
    environment = {name: value for name, value in os.environ.items() if name not in ("SAMEBITS_CXX", "PYTHONPATH")}
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", out],
        cwd=root,
        env={**environment, "SOURCE_DATE_EPOCH": EPOCH},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (path,) = out.iterdir()
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked_sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(_build("sdist", ROOT, folder / "out")) as archive:
        archive.extractall(folder, filter="data")
    (root,) = (path for path in folder.iterdir() if path.name != "out")
    return root


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_wheel_is_for_this_platform_and_holds_its_libraries(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    libraries = [name for name in names if "/native/lib/" in name]
    assert len(libraries) == len(PLATFORMS[host_platform()].zig_processors)
    assert all(f"/native/lib/{host_platform()}/libsamebits_" in name for name in libraries)
    assert re.search(r"-py3-none-(manylinux_2_\d+|macosx|win)_\w+\.whl$", wheel.name)


def test_wheel_from_an_sdist_in_another_folder_is_the_same_bytes(
    wheel: Path, unpacked_sdist: Path, tmp_path: Path
) -> None:
    assert not list(unpacked_sdist.rglob("libsamebits*"))
    # That the libraries are, also with an empty cache of the compiler, tests/unit/numerics/test_build.py holds.
    other = _build("wheel", unpacked_sdist, tmp_path / "out")
    assert other.name == wheel.name
    assert other.read_bytes() == wheel.read_bytes()


def test_installed_wheel_computes(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    program = "from samebits.numerics import library; print(library.loaded().path)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(tmp_path.resolve())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a tag for the system's own libc")
def test_a_system_compilers_wheel_is_for_this_system_alone(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEBITS_CXX", "g++")
    assert hook.wheel_platform("linux-aarch64", "aarch64-linux-gnu.2.17") == "linux_aarch64"


def test_every_platform_has_a_wheel(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAMEBITS_CXX", raising=False)
    assert {name: hook.wheel_platform(name, platform.zig_target) for name, platform in PLATFORMS.items()} == {
        "linux-x86_64": "manylinux_2_17_x86_64",
        "linux-aarch64": "manylinux_2_17_aarch64",
        "linux-riscv64": "manylinux_2_27_riscv64",
        "linux-s390x": "manylinux_2_17_s390x",
        "macos-arm64": "macosx_11_0_arm64",
        "macos-x86_64": "macosx_11_0_x86_64",
        "windows-x86_64": "win_amd64",
    }


def _required_compiler() -> Any:
    requirements = pytest.importorskip("packaging.requirements")
    (text,) = (text for text in PROJECT["build-system"]["requires"] if text.startswith("ziglang"))
    return requirements.Requirement(text)


def test_the_compiler_has_one_pin() -> None:
    (dev,) = (text for text in PROJECT["project"]["optional-dependencies"]["dev"] if text.startswith("ziglang"))
    assert f"ziglang{_required_compiler().specifier}" == dev


def test_a_build_needs_the_compiler_where_there_are_kernels_and_nowhere_else() -> None:
    marker = _required_compiler().marker
    systems = {"linux": "linux", "macos": "darwin", "windows": "win32"}
    for platform in PLATFORMS:
        system, machine = platform.split("-")
        assert marker.evaluate({"sys_platform": systems[system], "platform_machine": machine}), platform
    assert not marker.evaluate({"sys_platform": "linux", "platform_machine": "loongarch64"})
    assert not marker.evaluate({"sys_platform": "freebsd14", "platform_machine": "amd64"})
