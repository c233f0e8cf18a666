"""A finished run as a stranger's folder: what its own files tell before anything is rebuilt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samebits.errors import RecordError
from samebits.record.execution import MAX_THREADS
from samebits.record.files import FileEntry, read_bytes, read_object
from samebits.record.layout import GOLDEN_FILES, SUMMARY_FILE, RunFolder
from samebits.record.manifest import describe_changes, golden_checksums, golden_digest, read_summary
from samebits.record.trace import read_trace, trace_bytes
from samebits.verify.difference import Difference
from samebits.verify.plain_files import entry_at
from samebits.verify.runs import RECIPE_FILE, is_run, recipe_fault, state_of

_TRACE, _ADAPTER = "golden/trace.jsonl", "golden/adapter_model.safetensors"


@dataclass(frozen=True)
class Recorded:
    """A run whose files agree with its summary and with each other.

    Args:
        run: its folder.
        recipe: the document of `golden/recipe.json`.
        recipe_sha256: of its bytes.
        lines: of the trace, each with its line feed.
        trace: the same, read.
        golden_digest: over the files as they were read.
        adapter_bytes: size of the adapter's file.
    """

    run: RunFolder
    recipe: dict[str, Any]
    recipe_sha256: str
    lines: tuple[bytes, ...]
    trace: tuple[dict[str, Any], ...]
    golden_digest: str
    adapter_bytes: int


def read_recorded(path: Path) -> Recorded | Difference:
    """Read a run folder; return a difference where it is not a finished run, was changed, or contradicts itself.

    Files that no run writes together are proof that a rebuild would differ; what cannot be read, or has no recipe that
    is understood, leaves the verdict open.
    """
    run = RunFolder(path)
    try:
        if (fault := _not_a_run(run)) is not None:
            return Difference("incomplete", "", note=fault, is_proven=False)
        if (fault := recipe_fault(run.golden)) is not None:
            return Difference("unreadable", RECIPE_FILE, note=f"the run {fault}", is_proven=False)
        expected, actual = read_summary(run).artifact_checksums, golden_checksums(run)
        if changes := describe_changes(expected, actual):
            return _edited(changes, len(expected))
        return _read_golden(run, actual)
    except (RecordError, OSError) as error:
        return Difference("unreadable", "", note=str(error), is_proven=False)


def recorded_execution(run: RunFolder) -> dict[str, Any]:
    """Return `observed/execution.json`, a stranger's; an empty document where there is none that can be read."""
    try:
        return read_object(run.path, "observed/execution.json")
    except RecordError:
        return {}


def recorded_threads(run: RunFolder) -> int | None:
    """Return how many threads a run is said to have used; None where that is not told."""
    threads = recorded_execution(run).get("n_threads")
    return threads if type(threads) is int and 1 <= threads <= MAX_THREADS else None


def _not_a_run(run: RunFolder) -> str | None:
    entry = entry_at(run.path, follow=True)
    if entry is None or entry.kind != "folder":
        return f"a run must be a folder, got {'nothing there' if entry is None else f'a {entry.kind}'}"
    if entry_at(run.summary) is not None and is_run(run.path):
        return None
    return {
        "finished": "the run has no golden/",
        "golden lost": "the run has a summary and no golden/: its golden files are gone",
        "unfinished": f"the run has no {SUMMARY_FILE}, which is written last: it was not finished",
        "empty": "the folder is empty",
        "no run": f"the folder has no {SUMMARY_FILE}: it is no finished run",
    }[state_of(run.path)]


def _edited(changes: list[str], n_files: int) -> Difference:
    children = tuple(
        Difference("edited", name.removeprefix("golden/"), note=note)
        for name, _, note in (line.partition(": ") for line in changes)
    )
    note = f"the run was changed after it was recorded: {len(changes)} of {n_files} golden files"
    return Difference("edited", SUMMARY_FILE, note=note, children=children)


def _read_golden(run: RunFolder, checksums: Mapping[str, FileEntry]) -> Recorded | Difference:
    names = {f"golden/{name}" for name in GOLDEN_FILES}
    if checksums.keys() != names:
        odd = min(checksums.keys() ^ names)
        kind = "is missing" if odd in names else "is none"
        note = f"a run has {len(names)} golden files, and this {kind}"
        return Difference("missing" if odd in names else "extra", odd, note=note)
    data = read_bytes(run.path, _TRACE)
    try:
        trace = read_trace(data, _TRACE)
    except RecordError as error:
        return Difference("chain", "trace.jsonl", note=f"no run wrote this trace: {error}")
    recorded = Recorded(
        run,
        read_object(run.path, f"golden/{RECIPE_FILE}"),
        checksums[f"golden/{RECIPE_FILE}"]["sha256"],
        tuple(trace_bytes([record]) for record in trace),
        tuple(trace),
        golden_digest(checksums),
        checksums[_ADAPTER]["bytes"],
    )
    # NumPy, which reading tensors takes, is not needed to see an edited file.
    from samebits.verify.contradictions import contradictions

    found = tuple(contradictions(run, trace))
    if not found:
        return recorded
    note = "the golden files contradict each other, so that no run wrote them together"
    return Difference("run", "", note=note, children=found)
