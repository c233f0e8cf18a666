"""The operation traces of two sides: made here where this machine gives a side's bits again, else read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from samebits.errors import RecordError, SamebitsError
from samebits.record.files import list_files
from samebits.record.operations import (
    Level,
    OperationTrace,
    Output,
    kept_output,
    operations_file,
    read_operations,
)
from samebits.verify.causes import Evidence
from samebits.verify.operations import OperationDifference, compare_outputs, first_different_output
from samebits.verify.reruns import Rerunner, trace_again
from samebits.verify.sides import Side

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Traced:
    """One side's operations of the step, and where to get the tensor of an output from."""

    trace: OperationTrace
    tensor: Callable[[Output], Array | None]


def first_operation(
    evidence: Evidence, rerunner: Rerunner | None, folders: Mapping[str, Path]
) -> tuple[OperationDifference | None, str]:
    """Return the first operation of the differing step that differs, or why none can be named.

    Args:
        folders: with operation traces, by the side's name; a run folder's own are looked for too.
    """
    assert evidence.first is not None, "there is a step to look into"
    step, missing = evidence.first.step, []
    sides = {}
    for side in (evidence.a, evidence.b):
        try:
            sides[side.name] = _read(side, step, folders.get(side.name))
        except RecordError as error:
            return None, f"the operation trace of {side.name} cannot be used: {error}"
    given = [traced.trace.header.level for traced in sides.values() if traced is not None]
    level: Level = "module" if "module" in given else "op"
    for side in (evidence.a, evidence.b):
        if sides[side.name] is None or sides[side.name].trace.header.level != level:  # type: ignore[union-attr]
            sides[side.name] = _make(evidence, side, rerunner, level)
        if sides[side.name] is None:
            missing.append(side.name)
    if missing:
        names = " and ".join(missing)
        return None, (
            f"this machine does not give the bits of {names}: run `samebits trace RUN --step {step}` where they were "
            f"made, and name the folder with --operations-{missing[0].lower()}"
        )
    ours, theirs = sides["A"], sides["B"]
    assert ours is not None, "none is missing"
    assert theirs is not None, "none is missing"
    found = first_different_output(ours.trace, theirs.trace)
    if found is None:
        return None, "every operation of the step gave the same bits: what differs is outside of them"
    try:
        return replace(found, elements=compare_outputs(found, ours.tensor, theirs.tensor)), ""
    except SamebitsError as error:
        return found, f"its tensors cannot be compared: {error}"


def _read(side: Side, step: int, folder: Path | None) -> Traced | None:
    """Read a trace from the folder that was named, else from the run folder; None where neither has one."""
    name = operations_file(step)
    if folder is not None:
        root, relative = folder, Path(name).name
    elif side.path is not None and name in list_files(side.path, Path(name).parent.as_posix()):
        root, relative = side.path, name
    else:
        return None
    trace = read_operations(root, relative)
    line = side.trace[step - 1]["sha256"]
    if trace.header.step != step or trace.header.trace_line_sha256 != line:
        raise RecordError(
            f"an operation trace must be of the run's own step {step}",
            got=f"one of step {trace.header.step} with another line",
            where=str(root / relative),
        )
    return Traced(trace, lambda output: kept_output(root, relative, output))


def _make(evidence: Evidence, side: Side, rerunner: Rerunner | None, level: Level) -> Traced | None:
    """Trace the step here, where that is a side's own step: this machine is that side, or gives its bits again."""
    assert evidence.first is not None, "there is a step to look into"
    step = evidence.first.step
    source = evidence.a if side.path is None else side
    if rerunner is None or len(side.trace) < step:
        return None
    if side.path is not None and not evidence.agreed(side):
        return None
    other = evidence.b if source is evidence.a else evidence.a
    helper = other if evidence.recipe == () and other.path is not None else None
    try:
        trace = trace_again(rerunner, source, step, level, helper=helper)
    except SamebitsError:
        return None
    if trace.header.trace_line_sha256 != side.trace[step - 1]["sha256"]:
        return None

    def tensor(output: Output) -> Array | None:
        again = trace_again(rerunner, source, step, level, keep={output.n}, helper=helper)
        # A host that does not repeat itself has no tensor to show.
        return again.tensors.get(output.n) if again.outputs[output.n - 1] == output else None

    return Traced(trace, tensor)
