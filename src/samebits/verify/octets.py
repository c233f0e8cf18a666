"""Two files of bytes that no other comparator reads: the first differing offset, and how many bits differ."""

from __future__ import annotations

from pathlib import Path

from samebits.verify.difference import Difference
from samebits.verify.plain_files import BLOCK_BYTES, Scan, open_plain, read_window

WINDOW_BYTES = 16


def compare_octets(golden: Path, candidate: Path, scan: Scan, where: str) -> Difference | None:
    """Describe where two scanned files differ first; None where they are equal.

    Raises:
        RecordError: one of them can no longer be read.
    """
    if scan.first_offset is None:
        return None
    ours, theirs = (read_window(path, scan.first_offset, WINDOW_BYTES).hex(" ") for path in (golden, candidate))
    facts: dict[str, int | bool] = {"first_offset": scan.first_offset}
    note = f"first different byte at offset {scan.first_offset:,} of {scan.golden_bytes:,}"
    if scan.golden_bytes != scan.candidate_bytes:
        note += f"; the candidate has {scan.candidate_bytes:,} bytes"
        return Difference("bytes", where, ours, theirs, note, facts)
    n_bits, is_zero_after = _count_bits(golden, candidate, scan.first_offset)
    facts |= {"n_different_bits": n_bits, "is_zero_after": is_zero_after}
    if is_zero_after and scan.candidate_bytes - scan.first_offset > WINDOW_BYTES:
        note += "; from there on the candidate is all zero bytes, as a crash during a write leaves it"
    else:
        note += f"; {n_bits:,} {'bit differs' if n_bits == 1 else 'bits differ'}"
    return Difference("bytes", where, ours, theirs, note, facts)


def _count_bits(golden: Path, candidate: Path, start: int) -> tuple[int, bool]:
    n_bits, is_zero_after = 0, True
    with open_plain(golden) as ours, open_plain(candidate) as theirs:
        ours.seek(start)
        theirs.seek(start)
        while block := ours.read(BLOCK_BYTES):
            other = theirs.read(len(block))
            n_bits += (int.from_bytes(block) ^ int.from_bytes(other)).bit_count()
            is_zero_after = is_zero_after and other.count(0) == len(other)
    return n_bits, is_zero_after
