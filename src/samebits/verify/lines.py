"""Two texts, line by line, and what a transfer or an editor does to a text: line ends, byte order marks, encodings."""

from __future__ import annotations

from collections import Counter
from typing import Any

from samebits.canonical.json_bytes import load_json
from samebits.errors import RecordError
from samebits.verify.difference import Difference
from samebits.verify.json_values import compare_json
from samebits.verify.plain_files import first_difference

EXCERPT_CHARACTERS = 160
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def compare_lines(golden: bytes, candidate: bytes, where: str, *, is_json: bool = False) -> Difference | None:
    """Compare two texts; None where they are equal.

    Args:
        golden: the whole file; need not be valid UTF-8.
        candidate: the whole file.
        where: name of the file.
        is_json: each line is a JSON value, compared key by key where both can be read.
    """
    if golden == candidate:
        return None
    if (difference := explain_encoding(golden, candidate, where)) is not None:
        return difference
    ours, theirs = golden.split(b"\n"), candidate.split(b"\n")
    if Counter(ours) == Counter(theirs):
        return _reordered(ours, theirs, where)
    return _first_changed(ours, theirs, where, is_json=is_json)


def explain_encoding(golden: bytes, candidate: bytes, where: str) -> Difference | None:
    """Say by which conversion one text became the other, or None where none of those known explains it."""
    if candidate[:2] in (b"\xff\xfe", b"\xfe\xff") and _from_utf16(candidate) == _plain(golden):
        return Difference("encoding", where, "UTF-8", "UTF-16", "the same text, saved as UTF-16")
    if _plain(golden) != _plain(candidate):
        return None
    changes = []
    if candidate.startswith(_BYTE_ORDER_MARK) != golden.startswith(_BYTE_ORDER_MARK):
        changes.append("a byte order mark was " + ("added" if candidate.startswith(_BYTE_ORDER_MARK) else "removed"))
    n_crlf = golden.count(b"\r\n"), candidate.count(b"\r\n")
    if n_crlf[0] != n_crlf[1]:
        changes.append("line ends became " + ("CRLF" if n_crlf[1] > n_crlf[0] else "LF"))
    if candidate.endswith(b"\n") != golden.endswith(b"\n"):
        changes.append("the final line feed was " + ("added" if candidate.endswith(b"\n") else "removed"))
    facts = {"golden_crlf": n_crlf[0], "candidate_crlf": n_crlf[1]}
    note = " and ".join(changes) or "line ends are mixed otherwise"
    return Difference("encoding", where, note=f"the same text; {note}", facts=facts)


def _plain(text: bytes) -> bytes:
    return text.removeprefix(_BYTE_ORDER_MARK).replace(b"\r\n", b"\n").removesuffix(b"\n")


def _from_utf16(text: bytes) -> bytes | None:
    try:
        return _plain(text.decode("utf-16").encode())
    except UnicodeError:
        return None


def _reordered(ours: list[bytes], theirs: list[bytes], where: str) -> Difference:
    moved = [number for number, pair in enumerate(zip(ours, theirs, strict=True), start=1) if pair[0] != pair[1]]
    facts = {"n_lines": _n_lines(ours), "n_moved": len(moved), "first_line": moved[0]}
    if len(moved) == 2:
        note = f"lines {moved[0]} and {moved[1]} are exchanged, every line is otherwise the same"
        return Difference("exchanged", where, f"line {moved[0]}", f"line {moved[1]}", note, facts)
    note = f"the same lines in another order: {len(moved):,} of {_n_lines(ours):,} moved, the first is line {moved[0]}"
    return Difference("reordered", where, note=note, facts=facts)


def _first_changed(ours: list[bytes], theirs: list[bytes], where: str, *, is_json: bool) -> Difference:
    n_before, n_after = _common_ends(ours, theirs)
    n_golden, n_candidate = len(ours) - n_before - n_after, len(theirs) - n_before - n_after
    number = n_before + 1
    facts = {
        "n_golden_lines": _n_lines(ours),
        "n_candidate_lines": _n_lines(theirs),
        "first_line": number,
    }
    if not n_golden or not n_candidate:
        n_changed, what = (n_golden, "missing") if n_golden else (n_candidate, "added")
        span = f"line {number}" if n_changed == 1 else f"lines {number} to {number + n_changed - 1}"
        note = f"{span} {'is' if n_changed == 1 else 'are'} {what}, every other line is the same"
        line = (ours if n_golden else theirs)[n_before]
        child = Difference(
            "missing" if n_golden else "extra", f"line {number}",
            _excerpt(line, 0) if n_golden else None, None if n_golden else _excerpt(line, 0),
        )  # fmt: skip
        return Difference("file", where, note=note, facts=facts, children=(child,))
    if len(ours) == len(theirs):
        facts["n_different"] = sum(a != b for a, b in zip(ours, theirs, strict=True))
        note = f"{facts['n_different']:,} of {_n_lines(ours):,} lines differ, first line {number}"
    else:
        note = f"{_n_lines(ours):,} lines became {_n_lines(theirs):,}, first different is line {number}"
    child = _compare_line(ours[n_before], theirs[n_before], f"line {number}", is_json=is_json)
    return Difference("file", where, note=note, facts=facts, children=(child,))


def _compare_line(golden: bytes, candidate: bytes, where: str, *, is_json: bool) -> Difference:
    if is_json:
        try:
            ours, theirs = load_json(golden, where=where), load_json(candidate, where=where)
        except RecordError as error:
            note = f"no longer JSON: {error.got}" if error.got else "no longer JSON"
            return _text_line(golden, candidate, where, note)
        difference = compare_json(ours, theirs, where)
        if difference is None:
            return Difference("layout", where, note="the same values, other layout")
        return difference if difference.children else Difference("line", where, children=(difference,))
    return _text_line(golden, candidate, where, "")


def _text_line(golden: bytes, candidate: bytes, where: str, note: str) -> Difference:
    column = first_difference(golden, candidate)
    facts = {"first_byte": column}
    note = f"{note}; first different byte {column}" if note else f"first different byte {column}"
    if fault := _utf8_fault(candidate):
        note += f"; {fault}"
    return Difference("line", where, _excerpt(golden, column), _excerpt(candidate, column), note, facts)


def _utf8_fault(line: bytes) -> str | None:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return f"not UTF-8: byte {line[error.start]:#04x} at byte {error.start} of the line"
    return None


def _excerpt(line: bytes, column: int) -> str:
    """Return the part of a line around a byte, so that a long line shows its difference."""
    start = max(0, column - EXCERPT_CHARACTERS // 2) if len(line) > EXCERPT_CHARACTERS else 0
    stop = start + EXCERPT_CHARACTERS
    text = line[start:stop].decode("utf-8", "backslashreplace")
    return f"{'...' if start else ''}{text}{'...' if stop < len(line) else ''}"


def _common_ends(ours: list[Any], theirs: list[Any]) -> tuple[int, int]:
    n_shorter = min(len(ours), len(theirs))
    n_before = 0
    while n_before < n_shorter and ours[n_before] == theirs[n_before]:
        n_before += 1
    n_after = 0
    while n_after < n_shorter - n_before and ours[-1 - n_after] == theirs[-1 - n_after]:
        n_after += 1
    return n_before, n_after


def _n_lines(lines: list[bytes]) -> int:
    return len(lines) - (lines[-1] == b"")
