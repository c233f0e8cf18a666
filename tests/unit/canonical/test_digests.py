"""Digests are what the system's own tools print."""

import shutil
import subprocess
from pathlib import Path

import pytest

from samebits.canonical.digests import sha256_bytes, sha256_listing

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # FIPS 180-4, empty message
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4, "abc"


def test_known_answers() -> None:
    assert sha256_bytes(b"") == EMPTY
    assert sha256_bytes(b"abc") == ABC


def test_listing_is_sorted_by_path_bytes_not_by_the_order_given() -> None:
    assert sha256_listing({"b": EMPTY, "a": ABC}) == sha256_listing({"a": ABC, "b": EMPTY})
    assert sha256_listing({"a": ABC}) == sha256_bytes(f"{ABC}  a\n".encode())


def test_listing_tells_names_and_contents_apart() -> None:
    assert sha256_listing({"a": ABC, "b": EMPTY}) != sha256_listing({"a": EMPTY, "b": ABC})
    assert sha256_listing({"a": ABC}) != sha256_listing({"c": ABC})


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum on this system")
def test_listing_is_what_sha256sum_prints(tmp_path: Path) -> None:
    for name, data in {"B": b"1", "a": b"2", "a.b": b"3", "a/c": b"4"}.items():
        if "/" not in name:
            (tmp_path / name).write_bytes(data)
    line = "find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    printed = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    files = {path.name: sha256_bytes(path.read_bytes()) for path in tmp_path.iterdir()}
    assert printed.split()[0] == sha256_listing(files)
