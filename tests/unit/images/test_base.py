"""The base: where its packages come from, and what is said where they are others than the locked ones."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from samebits.errors import ImageError
from samebits.images.base import PACKAGES_FILE, local_mirror, make_base, moved_packages, packages_of, parse_packages

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("name", "text", "mirror"),
    [
        (
            "sources.list.d/debian.sources",
            "Types: deb\nURIs: http://localhost/debian\nSuites: bookworm\n",
            "http://localhost/debian",
        ),
        ("sources.list", "# none\ndeb [signed-by=/k] http://localhost/d bookworm main\n", "http://localhost/d"),
        ("sources.list", "deb file:/mnt bookworm main\n", None),
    ],
)
def test_the_mirror_is_this_debians(tmp_path: Path, name: str, text: str, mirror: str | None) -> None:
    path = tmp_path / "etc" / "apt" / name
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    assert local_mirror(tmp_path) == mirror


def test_moved_packages_are_named() -> None:
    locked = parse_packages("# a comment\na\t1\nb\t1\n")
    assert moved_packages(locked, locked) == []
    assert moved_packages(locked, {"a": "2", "c": "1"}) == [
        "a 2 (locked: 1)",
        "b none (locked: 1)",
        "c 1 (locked: none)",
    ]


def test_the_lock_names_python_and_its_version() -> None:
    packages = parse_packages((ROOT / "docker" / "base" / "packages.txt").read_text(encoding="utf-8"))
    assert packages["python3.11"].startswith("3.11.")


def test_a_base_tells_its_packages(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "base.tar", "w") as archive:
        member = tarfile.TarInfo(f"./{PACKAGES_FILE}")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"a\t1\n"))
    assert packages_of(tmp_path / "base.tar") == {"a": "1"}
    with tarfile.open(tmp_path / "other.tar", "w"):
        pass
    with pytest.raises(ImageError, match="one that samebits made"):
        packages_of(tmp_path / "other.tar")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no root")
@pytest.mark.parametrize(("user", "said"), [(1000, "root only"), (0, "make container-tools")])
def test_without_root_or_mmdebstrap_the_error_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, said: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError, match=said):
        make_base(tmp_path / "base.tar", epoch=0)
