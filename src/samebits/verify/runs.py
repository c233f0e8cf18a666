"""What two run folders tell beyond their files: their recipes, their own summaries, the machines they ran on."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from samebits.canonical.atomic import TEMPORARY_PREFIX
from samebits.errors import RecordError
from samebits.record.files import FileEntry, read_object
from samebits.record.layout import RECORD_VERSION, SUMMARY_FILE, RunFolder
from samebits.record.manifest import describe_changes, golden_digest, read_summary
from samebits.verify.difference import Difference
from samebits.verify.folders import FolderComparison
from samebits.verify.plain_files import entry_at, list_tree

RECIPE_FILE = "recipe.json"
# Causes before effects: what was asked for, what happened, what came out.
_ORDER = (
    RECIPE_FILE, "training_args.json", "adapter_config.json", "trace.jsonl", "adapter_model.safetensors",
    "results.json", "generations.jsonl",
)  # fmt: skip
_UNREADABLE = "has no readable recipe"
_OBSERVED = (("execution", "execution.json"), ("env", "env.json"))

EnvironmentRow = tuple[str, Any, Any]
RunState = Literal["finished", "unfinished", "golden lost", "empty", "no run"]


def is_run(folder: Path) -> bool:
    """Say whether a folder is a run folder: it has `golden/`.

    Raises:
        RecordError: `golden` is there and no plain folder, or the system refuses to say.
    """
    entry = entry_at(folder / "golden")
    if entry is not None and entry.kind != "folder":
        raise RecordError("golden/ must be a plain folder", got=f"a {entry.kind}", where=str(folder / "golden"))
    return entry is not None


def order_files(differences: Iterable[Difference]) -> list[Difference]:
    """Return files in the order in which a difference spreads through a run, other files after them."""
    rank = {name: index for index, name in enumerate(_ORDER)}
    return sorted(differences, key=lambda found: (rank.get(found.where.split(" and ")[0], len(rank)), found.where))


def judge_recipe(found: FolderComparison, golden: Path, candidate: Path) -> None:
    """Mark a recipe that is missing, unreadable or of an unknown version: what stands beside it cannot be judged.

    Args:
        golden: folder with the golden files.
        candidate: the same of the candidate.
    """
    faults = [
        f"the {side} {fault}"
        for side, folder in (("golden", golden), ("candidate", candidate))
        if (fault := recipe_fault(folder)) is not None
    ]
    if not faults:
        return
    told = [child for child in found.differences if child.where == RECIPE_FILE]
    found.differences = [child for child in found.differences if child.where != RECIPE_FILE]
    kept = tuple(child for child in told if child.kind not in ("missing", "extra"))
    note = "; ".join(faults)
    kind: Literal["unreadable", "version"] = (
        "unreadable" if any(_UNREADABLE in fault for fault in faults) else "version"
    )
    found.differences.append(Difference(kind, RECIPE_FILE, note=note, children=kept, is_proven=False))


def has_judged_recipes(differences: Iterable[Difference]) -> bool:
    """Say whether both recipes could be read and understood; without them no verdict follows from any other file."""
    return all(found.is_proven for found in differences if found.where == RECIPE_FILE)


def recipe_fault(folder: Path) -> str | None:
    """Return why the recipe of a folder of golden files cannot be judged; None where it can."""
    try:
        recipe = read_object(folder, RECIPE_FILE)
    except RecordError as error:
        return f"{_UNREADABLE}: {error.must}{f', got {error.got}' if error.got else ''}"
    version = recipe.get("record_version")
    if type(version) is int and version == RECORD_VERSION:
        return None
    got = "none" if "record_version" not in recipe else reprlib.repr(version)
    return f"has a recipe of an unknown version: record_version must be {RECORD_VERSION}, got {got}"


def state_of(folder: Path) -> RunState:
    """Say how far a folder that was named as a run got, by what lies in it; no file is read.

    Raises:
        RecordError: the system refuses to say.
    """
    run = RunFolder(folder)
    if entry_at(run.summary) is not None:
        return "finished" if entry_at(run.golden) is not None else "golden lost"
    if entry_at(run.observed) is not None or entry_at(run.checkpoints) is not None:
        return "unfinished"
    names = list_tree(folder)
    if any(name.startswith(TEMPORARY_PREFIX) for name in names):
        return "unfinished"
    return "no run" if names else "empty"


def unfinished_run(side: str, folder: Path) -> Difference | None:
    """Return a node where a run folder lacks its summary, which is written last; a bare golden/ has none to lack."""
    if not is_run(folder) or state_of(folder) != "unfinished":
        return None
    note = "missing: the run was not finished, or its summary was lost"
    return Difference("incomplete", f"{side}'s own {SUMMARY_FILE}", note=note, is_proven=False)


def digest_of(files: dict[str, FileEntry], unread: set[str]) -> str | None:
    """Return the golden digest of files named below `golden/`, or None where one of them was not read."""
    if unread or not files:
        return None
    try:
        return golden_digest({f"golden/{path}": entry for path, entry in files.items()})
    except UnicodeEncodeError:
        # A file name that is no text has no line in a listing.
        return None


def check_own_summaries(
    golden: RunFolder, candidate: RunFolder, found: FolderComparison
) -> tuple[list[Difference], list[str]]:
    """Hold both runs against their own `artifact_summary.json`; return differences and remarks."""
    differences, remarks = [], []
    sides = (
        ("golden", golden, found.golden_files, found.golden_unhashed_bytes),
        ("candidate", candidate, found.candidate_files, found.candidate_unhashed_bytes),
    )
    for side, run, files, unhashed_bytes in sides:
        where = f"{side}'s own {SUMMARY_FILE}"
        try:
            if entry_at(run.summary) is None:
                if state_of(run.path) == "unfinished":
                    # Told by `unfinished_run`, which leaves the verdict open.
                    continue
                remarks.append(f"the {side} has no {SUMMARY_FILE}: whether its files changed after the run is unknown")
                continue
            summary = read_summary(run)
        except RecordError as error:
            differences.append(Difference("unreadable", where, note=str(error), is_proven=False))
            continue
        unread = {f"golden/{path}" for path in found.unread}
        stated = {path: entry for path, entry in summary.artifact_checksums.items() if path not in unread}
        actual = {f"golden/{path}": entry for path, entry in files.items()}
        for path, n_bytes in ((f"golden/{path}", n_bytes) for path, n_bytes in unhashed_bytes.items()):
            if path in stated and stated[path]["bytes"] == n_bytes:
                # Of the stated size, and nobody read it: nothing can be said of it here.
                del stated[path]
            else:
                actual[path] = {"sha256": "", "bytes": n_bytes}
        children = tuple(_edited(line, stated, found) for line in describe_changes(stated, actual))
        if children:
            note = f"the {side} was changed after its run: {len(children)} of {len(stated)} golden files"
            facts = {"stated_golden_digest": summary.golden_digest, "side": side}
            differences.append(Difference("edited", where, note=note, facts=facts, children=children))
            other = digest_of(found.golden_files, {*found.unread, *found.golden_unhashed_bytes})
            if side == "candidate" and summary.golden_digest == other:
                remarks.append(
                    "the candidate's summary states the golden digest: when its run ended, it had the golden bits"
                )
    return differences, remarks


def _edited(line: str, stated: dict[str, FileEntry], found: FolderComparison) -> Difference:
    path, _, note = line.partition(": ")
    name = path.removeprefix("golden/")
    facts = {"stated_sha256": stated[path]["sha256"], "stated_bytes": stated[path]["bytes"]} if path in stated else {}
    golden = found.golden_files.get(name)
    if golden is not None and path in stated and stated[path]["sha256"] == golden["sha256"]:
        note += "; as recorded it had the golden's bytes"
    # A recipe that is gone or unreadable leaves the verdict open, whoever tells it.
    is_proven = not any(child.where == name == RECIPE_FILE and not child.is_proven for child in found.differences)
    return Difference("edited", name, note=note, facts=facts, is_proven=is_proven)


def recipe_changes(found: FolderComparison) -> list[str]:
    """Return the keys in which two readable recipes differ, as dotted paths."""
    recipe = next((child for child in found.differences if child.where == RECIPE_FILE and child.is_proven), None)
    return [] if recipe is None else [path.removeprefix(".") for path in _leaves(replace(recipe, where=""))]


def _leaves(node: Difference) -> Iterator[str]:
    if not node.children:
        yield node.where
    for child in node.children:
        for leaf in _leaves(child):
            yield f"{node.where}{leaf}" if leaf.startswith("[") else f"{node.where}.{leaf.removeprefix('.')}"


def compare_environments(
    golden: RunFolder, candidate: RunFolder
) -> tuple[tuple[EnvironmentRow, ...] | None, list[str]]:
    """Return rows of what differs between the observed machines, and remarks; no rows, but None, where none is told."""
    rows: list[EnvironmentRow] = []
    remarks: list[str] = []
    is_told = False
    for group, name in _OBSERVED:
        documents = []
        for side, run in (("golden", golden), ("candidate", candidate)):
            try:
                if entry_at(run.observed / name) is not None:
                    documents.append(read_object(run.path, f"observed/{name}"))
            except RecordError as error:
                remarks.append(f"the {side}'s observed/{name} cannot be read: {error}")
        if len(documents) == 2:
            # Importing the fingerprint takes a while, and only different runs need it.
            from samebits.record.fingerprint import compare_fingerprints

            is_told = True
            rows += [(f"{group}.{field}", ours, theirs) for field, ours, theirs in compare_fingerprints(*documents)]
    return tuple(rows) if is_told else None, remarks


def remark_on_observed(golden: Path, candidate: Path) -> list[str]:
    """Return which of the files that tell of the machine a side lacks: those cannot be compared."""
    remarks = []
    for side, path in (("golden", golden), ("candidate", candidate)):
        missing = [f"observed/{name}" for _, name in _OBSERVED if not _is_there(RunFolder(path).observed / name)]
        if missing:
            remarks.append(f"the {side} has no {' and no '.join(missing)}: the machines cannot be compared in that")
    return remarks


def _is_there(path: Path) -> bool:
    try:
        return entry_at(path) is not None
    except RecordError:
        return False
