"""The operation trace of one step of a recorded run, made here: rebuilt up to that step, and held against its trace."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from samebits.canonical.digests import sha256_bytes
from samebits.errors import CheckpointError, RecordError, UsageError
from samebits.record.checkpoint import checkpoints, read_checkpoint
from samebits.record.files import parse_object, read_bytes
from samebits.record.layout import RunFolder
from samebits.record.operations import Level, OperationTrace
from samebits.record.trace import read_trace
from samebits.study.rebuild import WHERE, Sources, rebuild
from samebits.verify.session import Session

TRACE_FILE = "golden/trace.jsonl"
# What both engines call the trace so far among a checkpoint's tensors.
_TRACE_BYTES = "trace_bytes"


@dataclass(frozen=True)
class TracedStep:
    """A step's outputs, the step it was gone on from, and the first step that is another one here, with its keys."""

    trace: OperationTrace
    resumed_from: int
    first_difference: tuple[int, tuple[str, ...]] | None


def trace_step(
    run: RunFolder,
    step: int,
    level: Level,
    *,
    sources: Sources,
    execution: Mapping[str, Any],
    keep: Container[int] = (),
    on_note: Callable[[str], None] = lambda _: None,
) -> TracedStep:
    """Rebuild a run up to a step and trace that step.

    It begins at the last checkpoint before the step whose trace is the run's own, else at the beginning.

    Args:
        step: counted from 1.
        execution: settings of role execution, such as `threads`.
        keep: numbers of the outputs whose tensors are kept too, in memory.
        on_note: takes a sentence about a checkpoint that is passed over.
    Raises:
        RecordError: the run's recipe or trace is missing or damaged.
        UsageError: the run has no such step.
        SamebitsError: as `rebuild`; a number that is not finite.
    """
    recipe_bytes, trace_bytes = read_bytes(run.path, WHERE), read_bytes(run.path, TRACE_FILE)
    recipe = parse_object(recipe_bytes, where=str(run.path / WHERE))
    recorded = read_trace(trace_bytes, str(run.path / TRACE_FILE))
    if not 1 <= step <= len(recorded):
        raise UsageError(f"--step must be from 1 to {len(recorded)}, the run's last", got=str(step))

    def begin() -> Session:
        return rebuild(recipe, sources, execution)

    session = _gone_on(run, step, begin, sha256_bytes(recipe_bytes), trace_bytes, on_note)
    resumed_from, found = session.step, list[Mapping[str, Any]]()
    while session.step < step - 1:
        found.append(session.take_step())
    trace = session.trace_step(level, keep)
    found.append(session.records[-1])
    return TracedStep(trace, resumed_from, _first_difference(recorded[resumed_from:], found))


def _gone_on(
    run: RunFolder,
    step: int,
    begin: Callable[[], Session],
    recipe_sha256: str,
    trace_bytes: bytes,
    on_note: Callable[[str], None],
) -> Session:
    """Return a session at the last checkpoint before a step that can be gone on from, or before the first step."""
    session = begin()
    for done, path in reversed(checkpoints(run)):
        if done >= step:
            continue
        try:
            checkpoint = read_checkpoint(path, recipe_sha256)
            told = checkpoint.tensors.get(_TRACE_BYTES)
            if told is None or not trace_bytes.startswith(told.tobytes()):
                raise CheckpointError("a checkpoint's trace must be the run's own", got="another", where=str(path))
            session.restore(checkpoint, str(path))
        except RecordError as error:
            on_note(f"passed over: {error.must}, got {error.got} ({path.name})")
            # What a refused checkpoint has brought back already must not be gone on from.
            session = begin()
        else:
            return session
    return session


def _first_difference(
    recorded: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]
) -> tuple[int, tuple[str, ...]] | None:
    for line, here in zip(recorded, found, strict=False):
        if line != here:
            chain = ("sha256", "previous_sha256")
            return here["step"], tuple(key for key in here if line.get(key) != here[key] and key not in chain)
    return None
