from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samebits.errors import RecordError
from samebits.verify.octets import compare_octets
from samebits.verify.plain_files import scan_pair

Pair = Callable[..., tuple[Path, Path]]


def test_same(pair: Pair) -> None:
    paths = pair(b"abc", b"abc")
    assert compare_octets(*paths, scan_pair(*paths), "f") is None


def test_known_difference(pair: Pair) -> None:
    paths = pair(b"\0\1\2\3\4", b"\0\1\2\7\4")
    difference = compare_octets(*paths, scan_pair(*paths), "f")
    assert difference is not None
    assert (difference.golden, difference.candidate) == ("03 04", "07 04")
    assert difference.note == "first different byte at offset 3 of 5; 1 bit differs"


def test_another_length_and_zeroed_tail(pair: Pair) -> None:
    paths = pair(bytes(range(1, 200)), b"\1\2\3")
    difference = compare_octets(*paths, scan_pair(*paths), "f")
    assert difference is not None
    assert "the candidate has 3 bytes" in difference.note
    paths = pair(bytes(range(1, 200)), b"\1\2\3" + bytes(196))
    difference = compare_octets(*paths, scan_pair(*paths), "f")
    assert difference is not None
    assert "from there on the candidate is all zero bytes" in difference.note


def test_missing_is_one_sentence(pair: Pair) -> None:
    golden, candidate = pair(b"abc", b"abd")
    scan = scan_pair(golden, candidate)
    candidate.unlink()
    with pytest.raises(RecordError, match="must be readable"):
        compare_octets(golden, candidate, scan, "f")


def test_bits_are_counted_as_a_slow_count_does(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("bits")

    @given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), min_size=1))
    def check(rows: list[tuple[int, int]]) -> None:
        golden, candidate = folder / "golden", folder / "candidate"
        golden.write_bytes(bytes(a for a, _ in rows))
        candidate.write_bytes(bytes(b for _, b in rows))
        difference = compare_octets(golden, candidate, scan_pair(golden, candidate), "f")
        n_bits = sum((a ^ b).bit_count() for a, b in rows)
        assert (difference is None) == (n_bits == 0)
        assert difference is None or difference.facts["n_different_bits"] == n_bits

    check()
