"""Reading run folders for a report: what they hold, and why one cannot be judged.

A run is `complete` (its files are those that its own summary names), `damaged` (they are not: it counts as different),
or `undecided` (it never finished, or its recipe or summary cannot be read: it counts as nothing, and is listed).
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samebits.canonical.atomic import TEMPORARY_PREFIX
from samebits.errors import RecordError
from samebits.record.files import read_bytes, read_object
from samebits.record.layout import RECORD_VERSION, SUMMARY_FILE, RunFolder
from samebits.record.manifest import check_summary, golden_checksums, golden_digest, read_summary
from samebits.record.trace import read_trace

METRICS = ("train_loss", "eval_loss", "train_perplexity", "eval_perplexity")
RECIPE = "golden/recipe.json"
WEIGHTS = "golden/adapter_model.safetensors"
RESULTS = "golden/results.json"
TRACE = "golden/trace.jsonl"
UNKNOWN_ENVIRONMENT = "unknown"
RUN_MARKERS = ("golden", "observed", "checkpoints", SUMMARY_FILE)


@dataclass(frozen=True)
class Run:
    """One run folder as a report sees it."""

    name: str
    path: Path
    state: str
    reasons: tuple[str, ...] = ()
    environment: str = UNKNOWN_ENVIRONMENT
    recipe_sha256: str | None = None
    numerics: str | None = None
    golden_digest: str | None = None
    artifacts: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    trace: tuple[dict[str, Any], ...] = ()
    execution: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_comparable(self) -> bool:
        """Whether the run has golden files that can be held against another run's."""
        return self.state != "undecided"


def find_runs(folder: Path) -> list[Path]:
    """Return the run folders at or under `folder`, sorted; an empty folder counts as a run that wrote nothing.

    Links and names that start with a dot are not followed. A folder below that cannot be listed is among those found:
    whether there are runs in it cannot be told, and `read_run` says why.

    Raises:
        RecordError: `folder` is not a folder that can be listed.
    """
    try:
        return _runs_below(folder, sorted(folder.iterdir()))
    except OSError as error:
        raise RecordError("the runs must lie in a readable folder", got=str(error), where=str(folder)) from error


def _runs_below(folder: Path, entries: Sequence[Path]) -> list[Path]:
    if any(_marks_a_run(entry) for entry in entries):
        return [folder]
    found: list[Path] = []
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            if not stat.S_ISDIR(entry.lstat().st_mode):
                continue
            inside = sorted(entry.iterdir())
            found += _runs_below(entry, inside) if inside else [entry]
        except OSError:
            found.append(entry)
    return found


def _marks_a_run(entry: Path) -> bool:
    """Whether an entry is what only a run folder holds; a run that is itself named `golden` is no golden folder."""
    if entry.name.removeprefix(TEMPORARY_PREFIX) not in RUN_MARKERS:
        return False
    return entry.name != "golden" or not any((entry / name).exists() for name in RUN_MARKERS)


def read_run(path: Path, name: str) -> Run:
    """Read one run folder; nothing in it can make this fail, the reasons say what was wrong."""
    try:
        next(path.iterdir(), None)
    except OSError as error:
        return Run(name, path, "undecided", (f"the folder must be readable, got {error.strerror}",))
    execution, execution_problem = _read_observed(path, "observed/execution.json")
    fingerprint, fingerprint_problem = _read_observed(path, "observed/env.json")
    notes = [problem for problem in (execution_problem, fingerprint_problem) if problem]
    environment = execution.get("environment")
    observed: dict[str, Any] = {
        "environment": environment if isinstance(environment, str) and environment else UNKNOWN_ENVIRONMENT,
        "execution": execution,
        "fingerprint": fingerprint,
    }
    folder = RunFolder(path)
    try:
        problems, recipe_sha256, numerics = _judge(folder)
        files = golden_checksums(folder)
    except RecordError as error:
        return Run(name, path, "undecided", (_sentence(error, path), *notes), **observed)
    metrics, metrics_problems = _read_metrics(path)
    trace, trace_problems = _read_trace(path)
    return Run(
        name,
        path,
        "damaged" if problems else "complete",
        (*problems, *metrics_problems, *trace_problems, *notes),
        recipe_sha256=recipe_sha256,
        numerics=numerics,
        golden_digest=golden_digest(files),
        artifacts={file: entry["sha256"] for file, entry in sorted(files.items())},
        metrics=metrics,
        trace=trace,
        **observed,
    )


def _judge(folder: RunFolder) -> tuple[list[str], str, str | None]:
    """Return how the golden files differ from the run's own summary, the recipe's digest in it, and the profile.

    Raises:
        RecordError: the run is incomplete, or its summary or recipe cannot be read: it cannot be judged.
    """
    recorded = read_summary(folder).artifact_checksums.get(RECIPE)
    if recorded is None:
        raise RecordError(f"the summary must name {RECIPE}", got="none")
    recipe = read_object(folder.path, RECIPE)
    version, numerics = recipe.get("record_version"), recipe.get("numerics")
    if version != RECORD_VERSION:
        raise RecordError(f"record_version must be {RECORD_VERSION}", got=repr(version), where=RECIPE)
    return check_summary(folder), recorded["sha256"], numerics if isinstance(numerics, str) else None


def _read_observed(path: Path, file: str) -> tuple[dict[str, Any], str | None]:
    try:
        return read_object(path, file), None
    except RecordError as error:
        return {}, _sentence(error, path)


def _read_metrics(path: Path) -> tuple[dict[str, float | None], list[str]]:
    """Read the core metrics from their hex floats, where there are some, else from the plain numbers."""
    try:
        results = read_object(path, RESULTS)
        return {metric: _metric(results, metric) for metric in METRICS}, []
    except RecordError as error:
        return dict.fromkeys(METRICS), [_sentence(error, path)]


def _metric(results: Mapping[str, Any], metric: str) -> float | None:
    text, plain = results.get(f"{metric}_hex"), results.get(metric)
    if text is None and plain is None:
        return None
    try:
        value = float.fromhex(text) if text is not None else float(str(plain))
    except (TypeError, ValueError, OverflowError) as error:
        raise RecordError(f"{metric} must be a number", got=repr(text or plain), where=RESULTS) from error
    if not math.isfinite(value):
        raise RecordError(f"{metric} must be finite", got=repr(value), where=RESULTS)
    return value


def _read_trace(path: Path) -> tuple[tuple[dict[str, Any], ...], list[str]]:
    try:
        return tuple(read_trace(read_bytes(path, TRACE), TRACE)), []
    except RecordError as error:
        return (), [_sentence(error, path)]


def _sentence(error: RecordError, path: Path) -> str:
    """Say what went wrong without this machine's paths: a report must not depend on where it was made."""
    return str(error).replace(f"{path}{os.sep}", "").replace(str(path), "this folder")
