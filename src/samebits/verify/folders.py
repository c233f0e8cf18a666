"""Two folders: which files are the same, missing, extra, renamed or exchanged; the rest is compared one by one."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from samebits.errors import RecordError
from samebits.record.files import FileEntry
from samebits.verify.difference import Difference
from samebits.verify.files import describe_pair
from samebits.verify.plain_files import MAX_EXCESS_BYTES, Entry, Scan, entry_at, list_tree, scan_pair, sha256_plain


@dataclass
class FolderComparison:
    """What two folders hold, by POSIX path.

    Args:
        golden_files: digest and size of every file that was read.
        candidate_files: the same of the candidate.
        golden_unhashed_bytes: sizes of files that are there and have no digest: too long, or not readable to their end.
        candidate_unhashed_bytes: the same of the candidate.
        n_files: names of files and other entries on either side.
        n_golden_files: those of the golden.
        n_same: files that are the same under the same name.
        differences: one for each other, by path.
        unread: paths whose files were not read on either side.
    """

    golden_files: dict[str, FileEntry] = field(default_factory=dict)
    candidate_files: dict[str, FileEntry] = field(default_factory=dict)
    golden_unhashed_bytes: dict[str, int] = field(default_factory=dict)
    candidate_unhashed_bytes: dict[str, int] = field(default_factory=dict)
    n_files: int = 0
    n_golden_files: int = 0
    n_same: int = 0
    differences: list[Difference] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)


def compare_folders(golden: Path, candidate: Path) -> FolderComparison:
    """Compare everything below two folders; links are told, never followed.

    Raises:
        RecordError: a folder cannot be listed.
    """
    ours, theirs = list_tree(golden), list_tree(candidate)
    found = FolderComparison(n_files=len(ours.keys() | theirs.keys()), n_golden_files=len(ours))
    scans: dict[str, Scan] = {}
    for path in sorted(ours.keys() & theirs.keys()):
        if (refused := _refused(path, ours[path], theirs[path], golden, candidate)) is not None:
            found.differences.append(refused)
            found.unread.add(path)
            continue
        try:
            scan = scan_pair(golden / path, candidate / path)
        except RecordError as error:
            found.differences.append(Difference("unreadable", path, note=str(error), is_proven=False))
            found.unread.add(path)
            continue
        _note_files(found, path, scan)
        if scan.first_offset is None:
            found.n_same += 1
        else:
            scans[path] = scan
    _describe_scans(found, scans, golden, candidate)
    _describe_unpaired(found, ours, theirs, golden, candidate)
    found.differences.sort(key=lambda difference: difference.where)
    return found


def _note_files(found: FolderComparison, path: str, scan: Scan) -> None:
    if scan.golden_sha256 is None:
        found.golden_unhashed_bytes[path] = scan.golden_bytes
    else:
        found.golden_files[path] = {"sha256": scan.golden_sha256, "bytes": scan.golden_bytes}
    if scan.candidate_sha256 is None:
        found.candidate_unhashed_bytes[path] = scan.candidate_bytes
    else:
        found.candidate_files[path] = {"sha256": scan.candidate_sha256, "bytes": scan.candidate_bytes}


def _refused(path: str, ours: Entry, theirs: Entry, golden: Path, candidate: Path) -> Difference | None:
    if ours.kind == theirs.kind == "file":
        return None
    shown = _show_entry(ours, golden / path), _show_entry(theirs, candidate / path)
    side, entry = ("candidate", theirs) if theirs.kind != "file" else ("golden", ours)
    note = f"the {side} has a {entry.kind} here, not a file: refused, nothing behind it was read"
    return Difference("refused", path, shown[0], shown[1], note, is_proven=False)


def _show_entry(entry: Entry, path: Path) -> str:
    if entry.kind == "file":
        return f"file of {entry.size_bytes:,} bytes"
    if entry.kind != "symbolic link":
        return entry.kind
    try:
        return f"symbolic link to {os.readlink(path)}"  # noqa: PTH115 (the text of the link, not a path of ours)
    except OSError:
        return entry.kind


def _describe_scans(found: FolderComparison, scans: dict[str, Scan], golden: Path, candidate: Path) -> None:
    by_sha256: dict[str, list[str]] = {}
    for path, entry in found.golden_files.items():
        by_sha256.setdefault(entry["sha256"], []).append(path)
    source = {path: by_sha256[scan.candidate_sha256][0] for path, scan in scans.items()
              if scan.candidate_sha256 in by_sha256 and scan.candidate_bytes}  # fmt: skip
    for path, scan in scans.items():
        other = source.get(path)
        if other is None:
            found.differences.append(_describe(golden / path, candidate / path, scan, path))
        elif source.get(other) != path:
            note = f"it holds the content of the golden's {other}"
            found.differences.append(Difference("moved", path, path, other, note, _digests(scan)))
        elif path < other:
            note = "these two files are exchanged"
            found.differences.append(Difference("exchanged", f"{path} and {other}", path, other, note, _digests(scan)))


def _describe(golden: Path, candidate: Path, scan: Scan, path: str) -> Difference:
    try:
        found = describe_pair(golden, candidate, scan, path)
        assert found is not None, "the scan saw a difference"
    except RecordError as error:
        return Difference("file", path, note=f"the bytes differ; {error}", facts=_digests(scan))
    return found


def _digests(scan: Scan) -> dict[str, str | None]:
    return {"golden_sha256": scan.golden_sha256, "candidate_sha256": scan.candidate_sha256}


def _describe_unpaired(
    found: FolderComparison, ours: dict[str, Entry], theirs: dict[str, Entry], golden: Path, candidate: Path
) -> None:
    missing, extra = ours.keys() - theirs.keys(), theirs.keys() - ours.keys()
    _hash_files(found.golden_files, found.golden_unhashed_bytes, missing, ours, golden)
    _hash_files(found.candidate_files, found.candidate_unhashed_bytes, extra, theirs, candidate)
    for path in sorted(missing):
        entry = found.golden_files.get(path)
        new_path = next((other for other in sorted(extra) if entry and found.candidate_files.get(other) == entry), None)
        if new_path is not None and entry is not None and entry["bytes"]:
            extra = extra - {new_path}
            note = "the same file under another name"
            found.differences.append(Difference("renamed", path, path, new_path, note, {"sha256": entry["sha256"]}))
        elif _is_folder(candidate / path):
            found.differences.append(Difference("not a file", path, "file", "folder", "a folder stands in its place"))
        else:
            note = "the candidate lacks this file"
            found.differences.append(Difference("missing", path, _size(ours[path]), None, note, entry or {}))
    for path in sorted(extra):
        note = "the golden has no such file"
        shown = _size(theirs[path]) if theirs[path].kind == "file" else _show_entry(theirs[path], candidate / path)
        facts = found.candidate_files.get(path)
        found.differences.append(Difference("extra", path, None, shown, note, facts or {}))


def _size(entry: Entry) -> str:
    return f"{entry.size_bytes:,} bytes" if entry.kind == "file" else entry.kind


def _is_folder(path: Path) -> bool:
    try:
        entry = entry_at(path)
    except RecordError:
        return False
    return entry is not None and entry.kind == "folder"


def _hash_files(
    files: dict[str, FileEntry],
    unhashed_bytes: dict[str, int],
    paths: set[str],
    entries: dict[str, Entry],
    folder: Path,
) -> None:
    for path in sorted(paths):
        entry = entries[path]
        if entry.kind != "file":
            continue
        if entry.size_bytes > MAX_EXCESS_BYTES:
            unhashed_bytes[path] = entry.size_bytes
            continue
        try:
            files[path] = {"sha256": sha256_plain(folder / path), "bytes": entry.size_bytes}
        except RecordError:
            # Known to be missing or extra; only whether it was renamed stays open.
            unhashed_bytes[path] = entry.size_bytes
