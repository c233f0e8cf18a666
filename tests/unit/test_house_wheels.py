"""tools/build_wheels.py: another platform's wheel from here, and what is seen where a build or a wheel is wrong."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from samebits.numerics.build import PLATFORMS, host_platform

ROOT = Path(__file__).parents[2]
# One library, of a system whose C library the compiler need not make first.
ELSEWHERE = "linux-aarch64" if host_platform() != "linux-aarch64" else "linux-s390x"

if host_platform() not in PLATFORMS:
    pytest.skip(f"there are no kernels for {host_platform()}", allow_module_level=True)


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_wheels", ROOT / "tools" / "build_wheels.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_wheels"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    del sys.modules["build_wheels"]
    return module


def _build(platform: str, out: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("SAMEBITS_CXX", "PYTHONPATH")}
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out],
        cwd=ROOT,
        env={**environment, "SAMEBITS_PLATFORM": platform, "SOURCE_DATE_EPOCH": "1767225600"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    done = _build(ELSEWHERE, out)
    assert done.returncode == 0, done.stderr
    (path,) = out.iterdir()
    return path


def test_a_wheel_for_another_platform_is_what_its_name_says(tool: ModuleType, wheel: Path) -> None:
    assert tool.wrong_in_wheel(wheel, ELSEWHERE) == []
    (library,) = (name for name in zipfile.ZipFile(wheel).namelist() if "/native/lib/" in name)
    machine = zipfile.ZipFile(wheel).read(library)[16:20]
    assert machine in (b"\x03\x00\xb7\x00", b"\x00\x03\x00\x16")  # ELF: a shared library for AArch64, or for S/390


def test_a_platform_that_is_none_is_refused(tmp_path: Path) -> None:
    done = _build("linux-vax", tmp_path)
    assert done.returncode
    assert "the platform must be one of linux-x86_64" in done.stderr
    assert not list(tmp_path.iterdir())


Rewrite = Callable[[str, bytes], tuple[str, bytes]]
PLANTED: dict[str, tuple[Rewrite, str]] = {
    "another platform's library": (
        lambda name, data: (name.replace(ELSEWHERE, "linux-x86_64"), data),
        "libraries must be",
    ),
    "another tag inside": (
        lambda name, data: (
            name,
            data.replace(b"manylinux_2_17", b"manylinux_2_28") if name.endswith("/WHEEL") else data,
        ),
        "WHEEL must have the tag",
    ),
    "pure Python": (
        lambda name, data: (
            name,
            data.replace(b"Purelib: false", b"Purelib: true") if name.endswith("/WHEEL") else data,
        ),
        "WHEEL must have the tag",
    ),
    "a file that the record has otherwise": (
        lambda name, data: (name, data + b"#" if name.endswith("/errors.py") else data),
        "RECORD must list all",
    ),
    "a newer glibc": (
        lambda name, data: (name, data + b"\0GLIBC_2.34\0" if "/native/lib/" in name else data),
        "must do with the glibc of manylinux_2_17",
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_in_a_wheel_is_named(tool: ModuleType, wheel: Path, tmp_path: Path, fault: str) -> None:
    rewrite, named = PLANTED[fault]
    other = tmp_path / wheel.name
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            new.writestr(*rewrite(name, old.read(name)))
    assert named in "; ".join(tool.wrong_in_wheel(other, ELSEWHERE))


def test_another_name_is_named(tool: ModuleType, wheel: Path, tmp_path: Path) -> None:
    other = tmp_path / wheel.name.replace("manylinux_2_17", "manylinux_2_5")
    other.write_bytes(wheel.read_bytes())
    found = tool.wrong_in_wheel(other, ELSEWHERE)
    assert "the tag must be manylinux_2_17" in found[0]
    assert "must do with the glibc of manylinux_2_5" in found[-1]


def _compared(tool: ModuleType, monkeypatch: pytest.MonkeyPatch, folder: Path, *contents: dict[str, bytes]) -> int:
    """Run main with hatchling in whose place each surroundings' files lie ready; return its code."""
    given = iter(contents)
    monkeypatch.setattr(tool, "unpack", lambda sdist, target, mtime: target)
    monkeypatch.setattr(tool, "wrong_in_wheel", lambda path, platform: [])
    current: dict[str, bytes] = {}

    def build_file(platform: str, sources: Path, around: object) -> Path:
        nonlocal current
        current = next(given) if platform == tool.SDIST else current
        if platform not in current:
            raise RuntimeError("the kernels must compile")
        path = around.folder / platform / f"{platform}.file"  # type: ignore[attr-defined]
        path.parent.mkdir(parents=True)
        path.write_bytes(current[platform])
        return Path(path)

    monkeypatch.setattr(tool, "build_file", build_file)
    code: int = tool.main(["--platform", ELSEWHERE, "--out", str(folder)])
    return code


GOOD = {"sdist": b"one", ELSEWHERE: b"two"}


@pytest.mark.parametrize(
    ("second", "code", "kept"),
    [
        (GOOD, 0, [f"{ELSEWHERE}.file", "sdist.file"]),
        ({**GOOD, ELSEWHERE: b"2wo"}, 1, ["sdist.file"]),
        ({**GOOD, "sdist": b"another"}, 1, [f"{ELSEWHERE}.file"]),
        ({"sdist": b"one"}, 2, ["sdist.file"]),
        ({}, 2, []),
    ],
    ids=["same", "another wheel", "another sdist", "no wheel", "no sdist"],
)
def test_two_builds_are_compared_byte_by_byte(
    tool: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    second: dict[str, bytes],
    code: int,
    kept: list[str],
) -> None:
    assert _compared(tool, monkeypatch, tmp_path / "out", GOOD, second) == code
    found = sorted(path.name for path in (tmp_path / "out").glob("*.file"))
    assert found == kept
    if kept:
        sums = (tmp_path / "out" / "SHA256SUMS").read_text(encoding="utf-8")
        assert sorted(line.split("  ")[1] for line in sums.splitlines()) == kept


def test_the_two_builds_share_no_cache_and_no_home(tool: ModuleType, tmp_path: Path) -> None:
    builds = tool.Builds(tmp_path, tmp_path / "out", once=False)
    environments = []
    for around in builds.surroundings:
        around.folder.mkdir()
        environments.append(around.environment(ELSEWHERE))
    one, other = environments
    for name in ("HOME", "TZ", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"):
        assert one[name] != other[name], name
    assert one["SAMEBITS_PLATFORM"] == other["SAMEBITS_PLATFORM"] == ELSEWHERE
    assert one["SOURCE_DATE_EPOCH"] == other["SOURCE_DATE_EPOCH"]
