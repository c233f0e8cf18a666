"""The same bytes from another folder, user and time; the same bits from another compiler."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from samebits.errors import NumericsError, UsageError
from samebits.numerics import build, library, products
from samebits.numerics.canaries.check import check_canaries
from samebits.numerics.library import Library


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_bytes_depend_on_no_folder_user_or_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = build.build(
        folder=tmp_path / "here", isas=["baseline"] if "linux-x86" in build.host_platform() else None, compiler=""
    )
    elsewhere = tmp_path / "else where" / "native"
    shutil.copytree(build.NATIVE, elsewhere, ignore=shutil.ignore_patterns("lib"))
    for path in elsewhere.iterdir():
        os.utime(path, (1, 1))
    # An empty cache: the compiler must compile again, not copy what it made before.
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("ZIG_LOCAL_CACHE_DIR", str(tmp_path / "cache"))
    for name, value in {"HOME": str(tmp_path), "USER": "nobody", "TZ": "Asia/Tokyo", "LC_ALL": "C"}.items():
        monkeypatch.setenv(name, value)
    there = build.build(native=elsewhere, folder=tmp_path / "there", isas=list(here), compiler="")
    assert {isa: sha256(path) for isa, path in here.items()} == {isa: sha256(path) for isa, path in there.items()}
    for path in there.values():
        assert str(tmp_path).encode() not in path.read_bytes()


@pytest.mark.slow
def test_no_folder_enters_a_library_of_macos(tmp_path: Path) -> None:
    (path,) = build.build("macos-arm64", folder=tmp_path, compiler="").values()
    data = path.read_bytes()
    assert str(tmp_path).encode() not in data
    assert b".build-" not in data
    assert b"@rpath/libsamebits_neon.dylib\0" in data


@pytest.mark.slow
def test_a_system_compiler_gives_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, native: Library
) -> None:
    if shutil.which("g++") is None:
        pytest.skip("there is no g++")
    monkeypatch.setenv("SAMEBITS_CXX", "g++")
    other = Library(build.build(folder=tmp_path, isas=[native.isa])[native.isa])
    assert other.isa == native.isa
    a = np.random.default_rng(3).standard_normal((130, 900)).astype(np.float32)
    with library.using(other):
        check_canaries()
        actual = products.mm(a, a.T).tobytes()
    assert products.mm(a, a.T).tobytes() == actual


def test_a_compiler_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NumericsError, match="the kernels need their compiler, got no-such-compiler"):
        build.build(
            folder=tmp_path,
            isas=list(build.PLATFORMS[build.host_platform()].zig_processors)[:1],
            compiler="no-such-compiler",
        )


def test_sources_that_do_not_compile_leave_no_library(tmp_path: Path) -> None:
    (tmp_path / "broken.cpp").write_text("int x = ;\n", encoding="utf-8")
    isa = next(iter(build.PLATFORMS[build.host_platform()].zig_processors))
    with pytest.raises(NumericsError, match=r"the kernels must compile, got .*expected expression"):
        build.build(native=tmp_path, folder=tmp_path / "lib", sources=["broken.cpp"], isas=[isa], compiler="")
    assert not list((tmp_path / "lib").rglob("*samebits*"))


def test_an_unknown_platform() -> None:
    with pytest.raises(UsageError, match="the platform must be one of linux-x86_64"):
        build.build("amiga-m68k")


def test_the_digest_sees_each_source_and_no_line_end(tmp_path: Path) -> None:
    shutil.copytree(build.NATIVE, tmp_path / "native", ignore=shutil.ignore_patterns("lib"))
    path = tmp_path / "native" / "vec.hpp"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert build.sources_sha256(tmp_path / "native") == build.sources_sha256()
    path.write_bytes(path.read_bytes() + b"\n")
    assert build.sources_sha256(tmp_path / "native") != build.sources_sha256()


def test_the_command_refuses_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "samebits.numerics.build", "amiga-m68k"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: the platform must be one of")
    assert done.stderr.count("\n") == 1
