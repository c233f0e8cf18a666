"""Two files: which comparator reads them, and what is told before any of them is asked (truncated, empty, longer)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from samebits.canonical.json_bytes import load_json
from samebits.errors import RecordError
from samebits.verify.difference import Difference
from samebits.verify.json_values import compare_json, is_same_order
from samebits.verify.lines import compare_lines, explain_encoding
from samebits.verify.octets import compare_octets
from samebits.verify.plain_files import Scan, read_plain, read_window, scan_pair
from samebits.verify.trace import compare_traces, is_trace

Format = Literal["tensors", "JSON", "JSON lines", "text", "bytes"]

# A larger text is compared as bytes: reading it by lines or values would take many times its size in memory.
MAX_TEXT_BYTES = 16 << 20
_SNIFFED_BYTES = 4096


def compare_files(golden: Path, candidate: Path, where: str = "") -> Difference | None:
    """Compare two files; None where every byte is the same.

    Args:
        golden: a plain file.
        candidate: a plain file.
        where: name to show; the golden's own where empty.
    Raises:
        RecordError: one of them cannot be read.
    """
    return describe_pair(golden, candidate, scan_pair(golden, candidate), where or golden.name)


def describe_pair(golden: Path, candidate: Path, scan: Scan, where: str) -> Difference | None:
    """Say how two scanned files differ, as closely as their format allows; None where they are equal.

    Raises:
        RecordError: one of them can no longer be read.
    """
    if scan.first_offset is None:
        return None
    form = format_of(golden, where)
    found = _explain_length(golden, candidate, scan, where, form) if scan.is_prefix else None
    if found is None:
        found = _ask_comparator(golden, candidate, scan, where, form)
    facts = {
        "golden_bytes": scan.golden_bytes,
        "candidate_bytes": scan.candidate_bytes,
        "golden_sha256": scan.golden_sha256,
        "candidate_sha256": scan.candidate_sha256,
        "format": form,
    }
    return replace(found, facts={**facts, **found.facts})


def format_of(path: Path, name: str) -> Format:
    """Return how a file is to be read, by its name, else by its first bytes.

    Raises:
        RecordError: it cannot be read.
    """
    endings: dict[str, Format] = {".safetensors": "tensors", ".json": "JSON", ".jsonl": "JSON lines"}
    for ending, form in endings.items():
        if name.lower().endswith(ending):
            return form
    head = read_window(path, 0, _SNIFFED_BYTES)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100 << 20:
        return "tensors"
    if b"\0" in head:
        return "bytes"
    try:
        head.decode()
    except UnicodeDecodeError as error:
        # The window may end inside a character.
        return "text" if error.start >= len(head) - 3 and len(head) == _SNIFFED_BYTES else "bytes"
    return "text"


def _explain_length(golden: Path, candidate: Path, scan: Scan, where: str, form: Format) -> Difference | None:
    """One file is the beginning of the other."""
    sizes = scan.golden_bytes, scan.candidate_bytes
    if form in ("JSON", "JSON lines", "text") and max(sizes) <= MAX_TEXT_BYTES:
        explained = explain_encoding(read_plain(golden), read_plain(candidate), where) if min(sizes) else None
        if explained is not None:
            return explained
    if scan.candidate_bytes == 0:
        note = f"the candidate is empty, the golden has {scan.golden_bytes:,} bytes"
        return Difference("truncated", where, note=note)
    if scan.candidate_bytes > scan.golden_bytes:
        n_more = scan.candidate_bytes - scan.golden_bytes
        return Difference("extended", where, note=f"all of the golden's bytes, then {n_more:,} more")
    note = f"truncated: the first {scan.candidate_bytes:,} of {scan.golden_bytes:,} bytes"
    if detail := _detail_of_cut(golden, scan.candidate_bytes, form):
        note += f"; {detail}"
    return Difference("truncated", where, note=note)


def _detail_of_cut(golden: Path, n_bytes: int, form: Format) -> str:
    if form == "tensors":
        from samebits.verify.tensors import end_of_truncated

        try:
            return end_of_truncated(golden, n_bytes)
        except RecordError:
            return ""
    if form in ("JSON lines", "text") and n_bytes <= MAX_TEXT_BYTES:
        text = read_plain(golden)
        n_whole, n_lines = text[:n_bytes].count(b"\n"), text.count(b"\n")
        ending = "" if text[:n_bytes].endswith(b"\n") else f", line {n_whole + 1} is cut"
        return f"{n_whole:,} of {n_lines:,} lines are whole{ending}"
    return ""


def _ask_comparator(golden: Path, candidate: Path, scan: Scan, where: str, form: Format) -> Difference:
    remark = ""
    found: Difference | None = None
    if form != "bytes" and form != "tensors" and max(scan.golden_bytes, scan.candidate_bytes) > MAX_TEXT_BYTES:
        remark = f"more than {MAX_TEXT_BYTES >> 20} MiB of {form}, compared as bytes"
    elif form != "bytes":
        try:
            found = _COMPARATORS[form](golden, candidate, where)
        except RecordError as error:
            remark = f"not comparable as {form}: {error}"
    if found is None:
        found = compare_octets(golden, candidate, scan, where)
        assert found is not None, "the scan saw a difference"
    return replace(found, note=f"{found.note}; {remark}" if remark else found.note)


def _compare_tensors(golden: Path, candidate: Path, where: str) -> Difference | None:
    # NumPy takes longer to import than all else together; most comparisons never need it.
    from samebits.verify.tensors import compare_tensors

    return compare_tensors(golden, candidate, where)


def _compare_json(golden: Path, candidate: Path, where: str) -> Difference | None:
    data = read_plain(golden), read_plain(candidate)
    if (explained := explain_encoding(*data, where)) is not None:
        return explained
    ours, theirs = (load_json(text, where=side) for text, side in zip(data, ("golden", "candidate"), strict=True))
    found = compare_json(ours, theirs, where)
    if found is not None:
        return found if found.children else Difference("file", where, children=(replace(found, where="the value"),))
    cause = "white space, or numbers and texts spelled otherwise" if is_same_order(ours, theirs) else "order of keys"
    return Difference("layout", where, note=f"the same values, other layout: {cause}", facts={"layout": cause})


def _compare_json_lines(golden: Path, candidate: Path, where: str) -> Difference | None:
    data = read_plain(golden), read_plain(candidate)
    if is_trace(where, data[0][:_SNIFFED_BYTES].split(b"\n", 1)[0]):
        explained = explain_encoding(*data, where)
        try:
            return explained or compare_traces(*data, where)
        except RecordError as error:
            found = compare_lines(*data, where, is_json=True)
            note = f"the golden itself is not a whole trace: {error}"
            return None if found is None else replace(found, note=f"{found.note}; {note}" if found.note else note)
    return compare_lines(*data, where, is_json=True)


def _compare_text(golden: Path, candidate: Path, where: str) -> Difference | None:
    return compare_lines(read_plain(golden), read_plain(candidate), where)


_COMPARATORS: dict[str, Callable[[Path, Path, str], Any]] = {
    "tensors": _compare_tensors,
    "JSON": _compare_json,
    "JSON lines": _compare_json_lines,
    "text": _compare_text,
}
