"""What reaches the engine depends on the source's bytes alone: not on permissions, caches or the folder's name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import samebits
from samebits.errors import ImageError
from samebits.images import context
from samebits.images.context import add_wheels, build_wheel, fetch_wheels, source_files, stage, version_of

ROOT = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout as small as one can be."""
    folder = tmp_path / "checkout"
    for part in context._PARTS:
        path = folder / part if "." in part or part == "LICENSE" or part.endswith("Dockerfile") else folder / part / "a"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(part, encoding="utf-8")
    return folder


def test_the_same_bytes_give_the_same_digest_and_the_same_permissions(checkout: Path, tmp_path: Path) -> None:
    first = stage(checkout, tmp_path / "one")
    (checkout / "src" / "a").chmod(0o600)
    (checkout / "src" / "__pycache__").mkdir()
    (checkout / "src" / "__pycache__" / "a.pyc").write_bytes(b"clock")
    (checkout / "src" / "lib").mkdir()
    (checkout / "src" / "lib" / "libsamebits_avx2.so").write_bytes(b"code")
    before = os.umask(0o077)
    try:
        second = stage(checkout, tmp_path / "two")
    finally:
        os.umask(before)
    assert first == second
    seen = [
        {path.relative_to(folder).as_posix(): path.stat().st_mode for path in folder.rglob("*")}
        for folder in (tmp_path / "one", tmp_path / "two")
    ]
    assert seen[0] == seen[1]


@pytest.mark.parametrize("change", ["content", "name", "new"])
def test_another_source_has_another_digest(checkout: Path, tmp_path: Path, change: str) -> None:
    first = stage(checkout, tmp_path / "one")
    path = checkout / "src" / "a"
    if change == "content":
        path.write_text("changed", encoding="utf-8")
    elif change == "name":
        path.rename(path.with_name("b"))
    else:
        path.with_name("b").touch()
    assert stage(checkout, tmp_path / "two") != first


def test_a_folder_that_is_no_checkout_is_refused(checkout: Path, tmp_path: Path) -> None:
    (checkout / "LICENSE").unlink()
    with pytest.raises(ImageError, match="checkout of samebits, got no LICENSE"):
        stage(checkout, tmp_path / "one")


def test_this_checkout_is_one_and_its_ignore_file_lets_every_part_through() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in source_files(ROOT)}
    assert {"pyproject.toml", "src/samebits/numerics/native/vec.hpp", "requirements/image.txt"} <= names
    passed = [
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")
    ]
    assert not [name for name in names - {"docker/Dockerfile"} if not name.startswith(tuple(passed))]


def test_the_version_is_the_sources(checkout: Path) -> None:
    assert version_of(ROOT) == samebits.__version__
    with pytest.raises(ImageError, match="must state a version"):
        version_of(checkout)


def test_pip_is_asked_for_the_bases_python_and_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(context, "_run", lambda words, *_: asked.append(words))
    fetch_wheels(tmp_path, "image", tmp_path / "wheels")
    (words,) = asked
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:", "--python-version=3.11"} <= set(words)


@pytest.mark.parametrize(("lock", "n_tries"), [("image", 1), ("image-torch", 2)])
def test_only_torch_is_looked_for_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: str, n_tries: int
) -> None:
    asked: list[list[str]] = []

    def refuse(words: list[str], *_: object) -> None:
        asked.append(words)
        raise ImageError("no")

    monkeypatch.setattr(context, "_run", refuse)
    with pytest.raises(ImageError):
        fetch_wheels(tmp_path, lock, tmp_path / "wheels")
    assert len(asked) == n_tries
    assert sum("--extra-index-url=" in word for words in asked for word in words) == n_tries - 1


def test_wheels_are_put_where_the_dockerfile_looks(checkout: Path, tmp_path: Path) -> None:
    stage(checkout, tmp_path / "context")
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "a-1-py3-none-any.whl").write_bytes(b"zip")
    add_wheels(tmp_path / "wheels", tmp_path / "context")
    assert (tmp_path / "context" / "docker" / "wheelhouse" / "a-1-py3-none-any.whl").read_bytes() == b"zip"


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands for Python")
def test_a_python_without_hatchling_says_what_to_install(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage(checkout, tmp_path / "context")
    monkeypatch.setattr(sys, "executable", str(_without_packages(tmp_path)))
    with pytest.raises(ImageError, match=r"No module named hatchling; install samebits\[dev\]"):
        build_wheel(tmp_path / "context", epoch=0)


def _without_packages(folder: Path) -> Path:
    path = folder / "python"
    path.write_text("#!/bin/sh\necho 'Error: No module named hatchling' >&2\nexit 1\n", encoding="utf-8")
    path.chmod(0o755)
    return path
