"""The door of this part: hold one candidate against one golden, each a run folder, any folder, or a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from samebits.errors import RecordError
from samebits.record.layout import GOLDEN_FILES, RunFolder
from samebits.verify.advice import finish_step, next_steps, start_step
from samebits.verify.difference import Comparison, Difference
from samebits.verify.files import compare_files
from samebits.verify.folders import FolderComparison, compare_folders
from samebits.verify.plain_files import entry_at
from samebits.verify.runs import (
    check_own_summaries,
    compare_environments,
    digest_of,
    has_judged_recipes,
    is_run,
    judge_recipe,
    order_files,
    recipe_changes,
    remark_on_observed,
    state_of,
    unfinished_run,
)


def compare(golden: Path, candidate: Path, *, show_environment: bool = False) -> Comparison:
    """Compare a candidate with a golden, bit for bit.

    What cannot be read makes the verdict undecided and never raises; observed data never reaches the verdict.

    Args:
        golden: a run folder (its `golden/` is compared, each run also with its own summary), any folder, or a file.
        candidate: of the same sort; a run folder may stand against a bare copy of a `golden/`.
        show_environment: compare the recorded machines even where the bits are the same.
    """
    try:
        kinds = [_kind_of(path) for path in (golden, candidate)]
        if kinds[0] != kinds[1]:
            note = f"a {kinds[0]} and a {kinds[1]} cannot be compared"
            return Comparison(golden, candidate, Difference("refused", "", kinds[0], kinds[1], note, is_proven=False))
        remarks = _remark_on_identity(golden, candidate)
        if kinds[0] == "file":
            difference = compare_files(golden, candidate)
            found = _of_files(golden, candidate, difference, remarks)
        else:
            found = _compare_folders(golden, candidate, remarks, show_environment=show_environment)
        if show_environment:
            found = replace(found, remarks=(*found.remarks, *remark_on_observed(golden, candidate)))
        return found
    except (RecordError, OSError) as error:
        return Comparison(golden, candidate, Difference("unreadable", "", note=str(error), is_proven=False))


def _kind_of(path: Path) -> str:
    entry = entry_at(path, follow=True)
    if entry is None:
        raise RecordError("the path must exist", got="nothing there", where=str(path))
    if entry.kind not in ("file", "folder"):
        raise RecordError("the path must be a file or a folder", got=f"a {entry.kind}", where=str(path))
    return entry.kind


def _remark_on_identity(golden: Path, candidate: Path) -> tuple[str, ...]:
    if not golden.samefile(candidate):
        return ()
    return ("golden and candidate are one and the same path: compared with itself, anything is the same",)


def _of_files(golden: Path, candidate: Path, found: Difference | None, remarks: tuple[str, ...]) -> Comparison:
    steps = next_steps(found, recipe_keys=[], environment=()) if found and found.kind == "truncated" else ()
    return Comparison(
        golden, candidate, found, n_files=1, n_same_files=int(found is None), remarks=remarks, next_steps=steps
    )


def _compare_folders(golden: Path, candidate: Path, remarks: tuple[str, ...], *, show_environment: bool) -> Comparison:
    runs = is_run(golden), is_run(candidate)
    for path, run in ((golden, runs[0]), (candidate, runs[1])):
        is_bare = any((path / name).exists() for name in GOLDEN_FILES)
        if not run and not is_bare and (any(runs) or state_of(path) == "golden lost"):
            return _incomplete(golden, candidate, path, remarks)
    if not any(runs):
        found = compare_folders(golden, candidate)
        if not found.n_golden_files:
            note = "the golden holds no files: nothing was compared"
            found.differences.append(Difference("incomplete", "golden", note=note, is_proven=False))
        return _comparison(golden, candidate, found, found.differences, remarks, kind="folder")
    folders = [RunFolder(path).golden if run else path for path, run in zip((golden, candidate), runs, strict=True)]
    found = compare_folders(*folders)
    judge_recipe(found, *folders)
    differences = order_files(found.differences) + _unfinished(golden, candidate)
    if not all(runs):
        bare = golden if runs[1] else candidate
        remarks += (f"{bare} has no golden/ in it: taken for a copy of a golden folder",)
        return _comparison(golden, candidate, found, differences, remarks, kind="golden folder")
    own, own_remarks = check_own_summaries(RunFolder(golden), RunFolder(candidate), found)
    differences += own
    remarks += tuple(own_remarks)
    if not differences and not show_environment:
        return _comparison(golden, candidate, found, [], remarks, kind="run")
    environment, environment_remarks = compare_environments(RunFolder(golden), RunFolder(candidate))
    remarks += tuple(environment_remarks)
    return _comparison(golden, candidate, found, differences, remarks, kind="run", environment=environment)


def _unfinished(golden: Path, candidate: Path) -> list[Difference]:
    told = [unfinished_run("golden", golden), unfinished_run("candidate", candidate)]
    return [difference for difference in told if difference is not None]


def _comparison(
    golden: Path,
    candidate: Path,
    found: FolderComparison,
    differences: list[Difference],
    remarks: tuple[str, ...],
    *,
    kind: Literal["run", "golden folder", "folder"],
    environment: tuple[tuple[str, Any, Any], ...] | None = None,
) -> Comparison:
    are_runs = kind != "folder"
    unfinished = [
        path
        for path, side in ((golden, "golden"), (candidate, "candidate"))
        if are_runs and any(node.kind == "incomplete" and node.where.startswith(side) for node in differences)
    ]
    is_proven = not are_runs or (has_judged_recipes(differences) and not unfinished)
    root_kind: Literal["run", "folder"] = "run" if kind == "run" else "folder"
    root = Difference(root_kind, "", children=tuple(differences), is_proven=is_proven) if differences else None
    keys = recipe_changes(found) if are_runs else []
    steps = next_steps(root, recipe_keys=keys, environment=environment) if root and not unfinished else ()
    return Comparison(
        golden,
        candidate,
        root,
        golden_digest=digest_of(found.golden_files, {*found.unread, *found.golden_unhashed_bytes})
        if are_runs
        else None,
        candidate_digest=(
            digest_of(found.candidate_files, {*found.unread, *found.candidate_unhashed_bytes}) if are_runs else None
        ),
        n_files=found.n_files,
        n_same_files=found.n_same,
        remarks=remarks,
        next_steps=(*dict.fromkeys(map(finish_step, unfinished)), *steps),
        environment=environment,
    )


def _incomplete(golden: Path, candidate: Path, path: Path, remarks: tuple[str, ...]) -> Comparison:
    side = "golden" if path == golden else "candidate"
    note, step = {
        "empty": (f"the {side} is an empty folder", start_step(path)),
        "unfinished": (f"the {side} has no golden/: its run was not finished", finish_step(path)),
        "golden lost": (
            f"the {side} has a summary and no golden/: its run was finished, and its golden files are gone",
            "fetch golden/ again from where it was made, or train the recipe again in another folder",
        ),
    }.get(
        state_of(path),
        (f"the {side} has neither golden/ nor golden files in it: no run folder", "name a run folder, or its golden/"),
    )
    root = Difference("incomplete", "", note=note, is_proven=False)
    return Comparison(golden, candidate, root, remarks=remarks, next_steps=(step,))
