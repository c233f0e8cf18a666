"""The golden digest, and the summary that tells each golden file from a damaged one.

Source: docs/spec/record.md, clauses R-20 to R-25.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from samebits.canonical.atomic import write_atomic
from samebits.canonical.digests import sha256_listing
from samebits.canonical.json_bytes import dump_json
from samebits.errors import RecordError
from samebits.record.files import FileEntry, file_entry, is_sha256, list_files, read_object
from samebits.record.layout import SUMMARY_FILE, RunFolder, check_relative_path


@dataclass(frozen=True)
class Summary:
    """What a finished run says of its golden files."""

    golden_digest: str
    artifact_checksums: dict[str, FileEntry]


def golden_checksums(run: RunFolder) -> dict[str, FileEntry]:
    """Return `{"golden/x": {"sha256", "bytes"}}` for every file now below `golden/`.

    Raises:
        RecordError: a link, a device, a name that is not plain, an unreadable or oversized file.
    """
    return {path: file_entry(run.path, path) for path in list_files(run.path, "golden")}


def golden_digest(checksums: Mapping[str, FileEntry]) -> str:
    """Return the one line that stands for the whole run: the digest of the listing of its golden files."""
    return sha256_listing({path: entry["sha256"] for path, entry in checksums.items()})


def write_summary(run: RunFolder) -> str:
    """Write `artifact_summary.json` for what lies below `golden/`; return the golden digest.

    Raises:
        RecordError: nothing lies below `golden/`.
        StorageError: the disk refused.
    """
    checksums = golden_checksums(run)
    if not checksums:
        raise RecordError("a finished run must have golden files", got="none", where=str(run.golden))
    digest = golden_digest(checksums)
    write_atomic(run.summary, dump_json({"golden_digest": digest, "artifact_checksums": checksums}))
    return digest


def read_summary(run: RunFolder) -> Summary:
    """Read and validate `artifact_summary.json`.

    Raises:
        RecordError: missing (the run is incomplete), or not a summary whose digest is that of its own list.
    """
    where = str(run.summary)
    if not run.path.is_dir():
        raise RecordError("a run folder must be there", got="none", where=str(run.path))
    if not run.summary.exists():
        raise RecordError(
            f"a finished run must have {SUMMARY_FILE}", got="none", where=str(run.path), remedy="resume the run"
        )
    document = read_object(run.path, SUMMARY_FILE)
    require_keys(document, {"golden_digest", "artifact_checksums"}, where)
    checksums = checked_entries(document["artifact_checksums"], where)
    if astray := [path for path in checksums if not path.startswith("golden/")]:
        raise RecordError("the summary must list golden files only", got=astray[0], where=where)
    digest = golden_digest(checksums)
    if document["golden_digest"] != digest:
        raise RecordError(
            f"golden_digest must be that of the listed files, {digest}",
            got=repr(document["golden_digest"]),
            where=where,
        )
    return Summary(digest, checksums)


def check_summary(run: RunFolder) -> list[str]:
    """Return one line for each golden file that is not what the run's own summary says; none where all are.

    Raises:
        RecordError: as `read_summary` and `golden_checksums`.
    """
    expected = read_summary(run).artifact_checksums
    return describe_changes(expected, golden_checksums(run))


def describe_changes(expected: Mapping[str, FileEntry], actual: Mapping[str, FileEntry]) -> list[str]:
    """Return one line for each file that is missing, renamed, truncated, grown, changed, swapped or extra."""
    missing, extra = sorted(expected.keys() - actual.keys()), sorted(actual.keys() - expected.keys())
    lines = []
    for path in missing:
        new_name = next((name for name in extra if actual[name]["sha256"] == expected[path]["sha256"]), None)
        if new_name is None:
            lines.append(f"{path}: missing")
        else:
            extra.remove(new_name)
            lines.append(f"{path}: renamed to {new_name}")
    lines += [
        f"{path}: {_describe_change(path, expected, actual[path])}"
        for path in expected.keys() & actual.keys()
        if actual[path] != expected[path]
    ]
    lines += [f"{path}: extra file, not in the summary" for path in extra]
    return sorted(lines)


def _describe_change(path: str, expected: Mapping[str, FileEntry], actual: FileEntry) -> str:
    others = [name for name, entry in expected.items() if name != path and entry["sha256"] == actual["sha256"]]
    if others:
        return f"holds the content of {others[0]}"
    n_expected_bytes, n_actual_bytes = expected[path]["bytes"], actual["bytes"]
    if n_actual_bytes < n_expected_bytes:
        return f"truncated, {n_actual_bytes} of {n_expected_bytes} bytes are left"
    if n_actual_bytes > n_expected_bytes:
        return f"grown after recording, {n_actual_bytes} bytes for {n_expected_bytes}"
    return f"changed after recording, sha256 {actual['sha256'][:12]} for {expected[path]['sha256'][:12]}"


def require_keys(document: Mapping[str, Any], keys: set[str], where: str) -> None:
    """Check that a document has these keys and no others.

    Raises:
        RecordError: a key is missing or unknown.
    """
    if document.keys() != keys:
        odd = min(document.keys() ^ keys)
        state = "unknown" if odd in document else "missing"
        raise RecordError(f"the keys must be {', '.join(sorted(keys))}", got=f"`{odd}` {state}", where=where)


def checked_entries(value: Any, where: str) -> dict[str, FileEntry]:
    """Return a `{path: {"sha256", "bytes"}}` mapping of a stranger's file, validated.

    Raises:
        RecordError: a path that is not plain, a digest or a size that is none.
    """
    if not isinstance(value, dict) or not value:
        raise RecordError("the list of files must be an object with one entry or more", where=where)
    for path, entry in value.items():
        check_relative_path(path, where=where)
        place = f"{path} in {where}"
        if not isinstance(entry, dict):
            raise RecordError("an entry must be an object", got=type(entry).__name__, where=place)
        require_keys(entry, {"sha256", "bytes"}, place)
        if not is_sha256(entry["sha256"]):
            raise RecordError("sha256 must be 64 lower-case hex digits", got=repr(entry["sha256"]), where=place)
        if type(entry["bytes"]) is not int or entry["bytes"] < 0:
            raise RecordError("bytes must be a whole number from 0", got=repr(entry["bytes"]), where=place)
    return value
