from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samebits.canonical.digests import sha256_bytes
from samebits.errors import RecordError
from samebits.verify import plain_files
from samebits.verify.plain_files import (
    entry_at,
    first_difference,
    list_tree,
    open_plain,
    read_window,
    scan_pair,
    sha256_plain,
)

Pair = Callable[..., tuple[Path, Path]]


def test_scan_of_equal_files(pair: Pair) -> None:
    scan = scan_pair(*pair(b"abc", b"abc"))
    assert (scan.first_offset, scan.golden_sha256, scan.candidate_sha256) == (None, *[sha256_bytes(b"abc")] * 2)


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize(
    ("golden", "candidate", "offset"),
    [(b"abcdef", b"abXdef", 2), (b"abcdef", b"abc", 3), (b"", b"a", 0), (b"abc", b"abcdef", 3), (b"x", b"y", 0)],
)
def test_scan_finds_the_first_byte_at_every_block_size(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, golden: bytes, candidate: bytes, offset: int, block_bytes: int
) -> None:
    monkeypatch.setattr(plain_files, "BLOCK_BYTES", block_bytes)
    scan = scan_pair(*pair(golden, candidate))
    assert scan.first_offset == offset
    assert scan.golden_sha256 == sha256_bytes(golden)
    assert scan.candidate_sha256 == sha256_bytes(candidate)
    assert scan.is_prefix == (golden.startswith(candidate) or candidate.startswith(golden))


def test_a_file_far_longer_than_its_partner_is_not_read_to_its_end(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_files, "MAX_EXCESS_BYTES", 1 << 20)
    golden, candidate = pair(b"abc", b"abc")
    with candidate.open("r+b") as stream:
        stream.truncate(1 << 42)
    scan = scan_pair(golden, candidate)
    assert (scan.candidate_bytes, scan.candidate_sha256, scan.first_offset) == (1 << 42, None, 3)
    assert scan.golden_sha256 == sha256_bytes(b"abc")


@given(st.binary(), st.binary(), st.binary(min_size=1))
def test_first_difference_equals_a_slow_search(common: bytes, left: bytes, right: bytes) -> None:
    ours, theirs = common + left, common + right
    if ours == theirs:
        return
    expected = next(
        (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs))
    )
    assert first_difference(ours, theirs) == expected


def test_tree_lists_links_and_pipes_without_following_them(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"12345")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    tree = list_tree(tmp_path)
    assert {path: entry.kind for path, entry in tree.items()} == {
        "a/b/file": "file", "a/loop": "symbolic link", "pipe": "FIFO",
    }  # fmt: skip
    assert tree["a/b/file"].size_bytes == 5


def test_tree_of_too_many_entries_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_files, "MAX_ENTRIES", 2)
    for name in "abc":
        (tmp_path / name).touch()
    with pytest.raises(RecordError, match="at most 2 entries"):
        list_tree(tmp_path)


def test_entry_at(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "link").symlink_to("file")
    kinds = [entry_at(tmp_path / "file"), entry_at(tmp_path / "link"), entry_at(tmp_path / "link", follow=True)]
    assert [entry.kind for entry in kinds if entry] == ["file", "symbolic link", "file"]
    assert entry_at(tmp_path / "none") is None
    assert entry_at(tmp_path / "file" / "below") is None
    with pytest.raises(RecordError, match="readable"):
        entry_at(tmp_path / ("n" * 5000))


@pytest.mark.timeout(10)
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RecordError, match="plain file, got a FIFO"):
        open_plain(tmp_path / "pipe")


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="must be readable, got No such file"):
        sha256_plain(tmp_path / "none")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc, whose files fail when read")
def test_a_file_that_fails_while_it_is_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    with pytest.raises(RecordError, match="must be readable, got"):
        read_window(Path("/proc/self/mem"), 0, 4)


def test_window(pair: Pair) -> None:
    golden, _ = pair(b"0123456789", b"")
    assert read_window(golden, 3, 4) == b"3456"
    assert read_window(golden, 8, 4) == b"89"
