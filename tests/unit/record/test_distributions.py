"""Installed distributions, planted in a folder."""

import importlib.metadata
from pathlib import Path

import pytest

from samebits.canonical.digests import sha256_bytes
from samebits.record.distributions import installed_distributions


def _install(site: Path, name: str, version: str, **files: bytes) -> None:
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\ntext\n")
    for file, data in files.items():
        (folder / file.replace("__", ".")).write_bytes(data)


def _found(*sites: Path) -> list[dict[str, object]]:
    return installed_distributions(importlib.metadata.distributions(path=[str(site) for site in sites]))


def test_name_version_and_record(tmp_path: Path) -> None:
    record = b"a.py,sha256=x,1\r\n"
    _install(tmp_path, "Zeta_Pkg.x", "2.0", RECORD=record)
    _install(tmp_path, "alpha", "1.0")
    assert _found(tmp_path) == [
        {"name": "alpha", "version": "1.0", "record_sha256": None, "editable": False},
        {"name": "zeta-pkg-x", "version": "2.0", "record_sha256": sha256_bytes(record), "editable": False},
    ]


def test_two_builds_of_one_version_differ(tmp_path: Path) -> None:
    _install(tmp_path / "1", "a", "1", RECORD=b"x")
    _install(tmp_path / "2", "a", "1", RECORD=b"y")
    assert _found(tmp_path / "1") != _found(tmp_path / "2")


def test_of_two_with_one_name_the_first_on_the_path_counts(tmp_path: Path) -> None:
    _install(tmp_path / "1", "a", "1")
    _install(tmp_path / "2", "A", "2")
    assert [entry["version"] for entry in _found(tmp_path / "1", tmp_path / "2")] == ["1"]
    assert [entry["version"] for entry in _found(tmp_path / "2", tmp_path / "1")] == ["2"]


@pytest.mark.parametrize(
    ("direct_url", "editable"),
    [
        (b'{"url":"file:///x","dir_info":{"editable":true}}', True),
        (b'{"url":"ftp://ann:hunter2@hub/x"}', False),
        (b"[]", False),
        (b'{"dir_info":[]}', False),
        (b"{", False),
        (b"\xff", False),
    ],
)
def test_editable_is_the_one_fact_of_its_origin(tmp_path: Path, direct_url: bytes, editable: bool) -> None:
    _install(tmp_path, "a", "1", direct_url__json=direct_url)
    (entry,) = _found(tmp_path)
    assert entry == {"name": "a", "version": "1", "record_sha256": None, "editable": editable}


def test_damaged_installations_are_left_out_or_without_facts(tmp_path: Path) -> None:
    (tmp_path / "lost-1.dist-info").mkdir()
    (tmp_path / "bytes-1.dist-info").mkdir()
    (tmp_path / "bytes-1.dist-info" / "METADATA").write_bytes(b"Name: \xff\xfe\n")
    (tmp_path / "bare-1.dist-info").mkdir()
    (tmp_path / "bare-1.dist-info" / "METADATA").write_text("Name: bare\n")
    (tmp_path / "folder-1.dist-info" / "RECORD").mkdir(parents=True)
    (tmp_path / "folder-1.dist-info" / "METADATA").write_text("Name: folder\nVersion: 1\n")
    assert [(entry["name"], entry["version"], entry["record_sha256"]) for entry in _found(tmp_path)] == [
        ("bare", None, None),
        ("folder", "1", None),
    ]


def test_this_python_has_numpy() -> None:
    entries = {entry["name"]: entry for entry in installed_distributions()}
    assert list(entries) == sorted(entries)
    assert entries["numpy"]["version"] == importlib.metadata.version("numpy")
    assert len(entries["numpy"]["record_sha256"]) == 64
