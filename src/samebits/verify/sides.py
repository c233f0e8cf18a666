"""One run as a side of a bisection: what it was asked, what each step gave, where it ran, and what was damaged since.

Everything is read as a stranger's. What cannot be read, or does not fit together, becomes a fault of the side and
never an exception: a run that was edited afterwards is one of the answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from samebits.canonical.json_bytes import load_json
from samebits.canonical.safetensors_file import TensorFile, tensors_sha256
from samebits.errors import RecordError
from samebits.record.checkpoint import MANIFEST_FILE, Checkpoint, checkpoints, read_checkpoint
from samebits.record.files import open_regular, read_bytes, read_object
from samebits.record.layout import RunFolder
from samebits.record.manifest import check_summary
from samebits.record.trace import read_trace, trace_root
from samebits.verify.plain_files import entry_at
from samebits.verify.runs import is_run

RECIPE, TRACE, RESULTS, ADAPTER = "recipe.json", "trace.jsonl", "results.json", "adapter_model.safetensors"
OBSERVED = {"execution": "execution.json", "env": "env.json", "metadata": "training_metadata.json"}
CHECKPOINT_TRACE = "trace_bytes"
MAX_FAULTS = 20

Record = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """Something of a run that no training writes.

    Args:
        kind: `edited` for a golden file, `checkpoint` for a state to resume from, `unreadable` where nothing follows.
        where: path below the run folder, with the line of a trace.
        note: what is wrong, one sentence.
        step: the optimizer step that it belongs to, where there is one.
    """

    kind: Literal["edited", "checkpoint", "unreadable"]
    where: str
    note: str
    step: int | None = None


@dataclass(frozen=True)
class Side:
    """What one run tells.

    Args:
        name: `A` or `B`.
        path: its folder; None where this machine is the other side.
        recipe: of `golden/recipe.json`; None where there is none to read.
        trace: the steps up to the first one that breaks the chain.
        observed: `execution`, `env` and `metadata`, as far as they are there.
        checkpoints: (steps done, folder) of those whose every byte is what their manifest says.
        faults: in the order in which a difference spreads through a run.
        broken_line: the line of the trace at which the chain breaks, as JSON; None where it holds.
        is_finished: its golden files are there.
    """

    name: str
    path: Path | None
    recipe: dict[str, Any] | None = None
    trace: tuple[Record, ...] = ()
    observed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    checkpoints: tuple[tuple[int, Path], ...] = ()
    faults: tuple[Fault, ...] = ()
    broken_line: Record | None = None
    is_finished: bool = True

    @property
    def recipe_sha256(self) -> str | None:
        """Digest of the recipe's file, which a checkpoint must name."""
        from samebits.record.documents import recipe_digest

        return None if self.recipe is None else recipe_digest(self.recipe)


def read_side(name: str, path: Path) -> Side:
    """Read a run folder, or a bare copy of a `golden/`.

    Raises:
        RecordError: nothing is there, or it is no run.
    """
    entry = entry_at(path, follow=True)
    if entry is None or entry.kind != "folder":
        got = "nothing there" if entry is None else f"a {entry.kind}"
        raise RecordError(f"{name} must be a run folder", got=got, where=str(path))
    run = RunFolder(path)
    has_golden = is_run(path)
    if not has_golden and entry_at(path / TRACE) is None:
        if entry_at(run.checkpoints) is None:
            raise RecordError(f"{name} must be a run folder", got="no golden/ and no checkpoints/", where=str(path))
        return _unfinished(Side(name, path, observed=_observed(path), is_finished=False))
    root, prefix = (path, "golden/") if has_golden else (path, "")
    side = Side(name, path, observed=_observed(path))
    side = _with_recipe(side, root, prefix)
    side = _with_trace(side, root, prefix)
    if has_golden:
        side = _with_checkpoints(_with_summary(side, run))
    return _with_own_results(side, root, prefix)


def checkpoint_before(side: Side, step: int) -> Checkpoint | None:
    """Return the newest sound checkpoint of a run before a step whose trace is the run's own; None without one."""
    for done, path in reversed(side.checkpoints):
        if done >= step or done > len(side.trace):
            continue
        try:
            found = read_checkpoint(path, side.recipe_sha256 or "")
            trace = read_trace(found.tensors[CHECKPOINT_TRACE].tobytes(), str(path))
        except (RecordError, KeyError):
            continue
        if tuple(trace) == side.trace[:done]:
            return found
    return None


def _with_faults(side: Side, *faults: Fault) -> Side:
    return replace(side, faults=(*side.faults, *faults)[:MAX_FAULTS])


def _with_recipe(side: Side, root: Path, prefix: str) -> Side:
    try:
        return replace(side, recipe=read_object(root, f"{prefix}{RECIPE}"))
    except RecordError as error:
        return _with_faults(side, Fault("unreadable", f"{prefix}{RECIPE}", str(error)))


def _with_trace(side: Side, root: Path, prefix: str) -> Side:
    where = f"{prefix}{TRACE}"
    try:
        data = read_bytes(root, where)
    except RecordError as error:
        return _with_faults(side, Fault("unreadable", where, str(error)))
    try:
        return replace(side, trace=tuple(read_trace(data, where)))
    except RecordError as error:
        told = re.search(r"line (\d+)\)?$", error.where or "")
        number = int(told[1]) if told else 1
        lines = data.split(b"\n")
        sound = b"".join(line + b"\n" for line in lines[: number - 1])
        side = replace(side, trace=tuple(read_trace(sound, where)) if sound else (), broken_line=_line(lines, number))
        return _with_faults(side, Fault("edited", f"{where}, line {number}", error.must, number))


def _line(lines: list[bytes], number: int) -> Record | None:
    try:
        value = load_json(lines[number - 1], where="line")
    except (RecordError, IndexError):
        return None
    return value if isinstance(value, dict) else None


def _with_summary(side: Side, run: RunFolder) -> Side:
    """Hold the golden files against the run's own summary; a run without one was not finished."""
    try:
        if entry_at(run.summary) is None:
            return replace(side, is_finished=False)
        changes = check_summary(run)
    except RecordError as error:
        return _with_faults(side, Fault("unreadable", run.summary.name, str(error)))
    told = [change.partition(": ") for change in changes]
    # A line that breaks the chain tells more than the file that it stands in.
    told = [(path, _, note) for path, _, note in told if not any(f.where.startswith(path) for f in side.faults)]
    return _with_faults(side, *(Fault("edited", path, note) for path, _, note in told))


def _with_own_results(side: Side, root: Path, prefix: str) -> Side:
    """Hold the last lines of a run against each other: the trace's root, and the parameters after its last step."""
    if side.faults or not side.trace:
        return side
    try:
        stated = read_object(root, f"{prefix}{RESULTS}").get("trace_root_sha256")
        if stated != trace_root(side.trace):
            note = "its trace_root_sha256 is not that of the run's trace: one of the two was changed after the run"
            side = _with_faults(side, Fault("edited", f"{prefix}{RESULTS}", note))
        open_regular(root, f"{prefix}{ADAPTER}").close()
        file = TensorFile(root / f"{prefix}{ADAPTER}")
        if tensors_sha256({name: file.array(name) for name in file.tensors}) != side.trace[-1]["parameters_sha256"]:
            note = "its tensors are not those after the trace's last step: one of the two was changed after the run"
            side = _with_faults(side, Fault("edited", f"{prefix}{ADAPTER}", note, len(side.trace)))
    except (RecordError, OSError, ValueError) as error:
        side = _with_faults(side, Fault("unreadable", f"{prefix}{RESULTS}", str(error)))
    return side


def _with_checkpoints(side: Side) -> Side:
    assert side.path is not None, "this machine has no folder"
    sound: list[tuple[int, Path]] = []
    try:
        found = checkpoints(RunFolder(side.path))
    except RecordError as error:
        return _with_faults(side, Fault("checkpoint", "checkpoints", str(error)))
    for step, path in found:
        where = f"checkpoints/{path.name}"
        try:
            # Whole or not: whose recipe it is of is asked where it is used.
            stated = read_object(path.parent, f"{path.name}/{MANIFEST_FILE}").get("recipe_sha256")
            read_checkpoint(path, stated if isinstance(stated, str) else "")
            sound.append((step, path))
        except RecordError as error:
            note = error.must + (f", got {error.got}" if error.got else "")
            side = _with_faults(side, Fault("checkpoint", where, note, step))
    return replace(side, checkpoints=tuple(sound))


def _unfinished(side: Side) -> Side:
    """A run without golden files: its newest sound checkpoint tells how far it came."""
    side = _with_checkpoints(side)
    for _, path in reversed(side.checkpoints):
        try:
            stated = read_object(path.parent, f"{path.name}/{MANIFEST_FILE}")["recipe_sha256"]
            tensors = read_checkpoint(path, str(stated)).tensors
            return replace(side, trace=tuple(read_trace(tensors[CHECKPOINT_TRACE].tobytes(), str(path))))
        except (RecordError, KeyError) as error:
            side = _with_faults(side, Fault("unreadable", f"checkpoints/{path.name}", str(error)))
    return side


def _observed(path: Path) -> dict[str, Mapping[str, Any]]:
    documents: dict[str, Mapping[str, Any]] = {}
    for key, name in OBSERVED.items():
        try:
            if entry_at(path / "observed" / name) is not None:
                documents[key] = read_object(path, f"observed/{name}")
        except RecordError:
            # What was observed never decides; what cannot be read of it is as what was not told.
            continue
    return documents
