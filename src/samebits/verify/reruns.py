"""One step of a recorded run, executed again on this machine: what it gives, and whether it gives it twice."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from samebits.errors import CheckpointError, RecordError, SamebitsError
from samebits.record.checkpoint import Checkpoint
from samebits.record.operations import Level, OperationTrace
from samebits.verify.session import Session
from samebits.verify.sides import Record, Side, checkpoint_before
from samebits.verify.steps import content

TIMES = 2
"""How often a step is executed: a host that gives two results has one of them wrong."""


class Rerunner(Protocol):
    """What makes a recorded run a training on this machine again; `study.reexecution` is one."""

    def begin(self, side: Side) -> AbstractContextManager[Session]:
        """Return a session before its first step, cut up as the run's own execution was, as far as it can be here.

        Raises:
            SamebitsError: the base or the data is not here, or this machine has no such instruction set.
        """

    def facts(self, side: Side) -> Mapping[str, Mapping[str, Any]]:
        """Return what this machine would record beside a run of that recipe: `execution` and `env`."""


@dataclass(frozen=True)
class Rerun:
    """What this machine made of one step of a run.

    Args:
        sides: names of the runs whose recipe and execution it had.
        execution: `isa` and `n_threads` that were asked for, as far as the run recorded them.
        step: counted from 1.
        from_step: steps done in the checkpoint that it went on from; 0 from the beginning.
        records: of the step, one for each time.
        left_at: the first earlier step that differed from the run's own already; None where all were the same.
        refused: why this machine could not execute it; None where it did.
    """

    sides: tuple[str, ...]
    execution: Mapping[str, Any]
    step: int
    from_step: int = 0
    records: tuple[Record, ...] = ()
    left_at: int | None = None
    refused: str | None = None

    @property
    def repeats(self) -> bool | None:
        """Say whether every execution gave one result; None where there were not two."""
        if len(self.records) < TIMES:
            return None
        # The digest holds that of the step before: a step on the way that did not repeat itself shows here too.
        return len({record["sha256"] for record in self.records}) == 1

    def gave(self, line: Mapping[str, Any]) -> bool:
        """Say whether this machine gave what a line of a trace tells, each time."""
        return bool(self.records) and all(content(record) == content(line) for record in self.records)


def execution_of(side: Side) -> dict[str, Any]:
    """Return what a run recorded of how its work was cut up, as far as a re-execution can have it."""
    told = side.observed.get("execution", {})
    return {key: told[key] for key in ("isa", "n_threads") if isinstance(told.get(key), int | str)}


def rerun_step(rerunner: Rerunner, side: Side, step: int, *, sides: tuple[str, ...], helper: Side | None) -> Rerun:
    """Execute one step again, `TIMES` times, each time from the nearest sound checkpoint before it.

    Args:
        helper: another run of the same recipe whose checkpoints may serve where the traces agree up to them.
    """
    records: list[Record] = []
    start: tuple[int, int | None] = (0, None)
    try:
        for _ in range(TIMES):
            with before_step(rerunner, side, step, helper) as (session, start):
                records.append(session.take_step())
    except SamebitsError as error:
        return Rerun(sides, execution_of(side), step, refused=str(error))
    return Rerun(sides, execution_of(side), step, start[0], tuple(records), start[1])


def trace_again(
    rerunner: Rerunner, side: Side, step: int, level: Level, *, keep: Container[int] = (), helper: Side | None
) -> OperationTrace:
    """Execute one step again and return the digests of its outputs.

    Raises:
        SamebitsError: this machine cannot execute it.
    """
    with before_step(rerunner, side, step, helper) as (session, _):
        return session.trace_step(level, keep)


def follow(rerunner: Rerunner, side: Side) -> tuple[Record, ...]:
    """Train a run again from its beginning, up to and with the first step that differs from its trace.

    Raises:
        SamebitsError: this machine cannot execute it.
    """
    records: list[Record] = []
    with rerunner.begin(side) as session:
        for line in side.trace:
            if session.step >= session.n_steps:
                break
            records.append(session.take_step())
            if records[-1]["sha256"] != line["sha256"]:
                break
    return tuple(records)


@contextmanager
def before_step(
    rerunner: Rerunner, side: Side, step: int, helper: Side | None
) -> Iterator[tuple[Session, tuple[int, int | None]]]:
    """Yield a session in the state before a step, with the step it went on from and the first that left the trace.

    Raises:
        RecordError: the recipe has no such step.
        SamebitsError: this machine cannot execute it.
    """
    for checkpoint in (*_checkpoints(side, helper, step), None):
        with rerunner.begin(side) as session:
            if step > session.n_steps:
                raise RecordError(f"the recipe must have {step} steps", got=str(session.n_steps))
            try:
                if checkpoint is not None:
                    session.restore(checkpoint, str(side.path))
            except CheckpointError:
                # Stock kernels refuse what others made; what of it was taken already must not be gone on from.
                continue
            from_step, left_at = session.step, None
            while session.step < step - 1:
                line = side.trace[session.step]
                if session.take_step()["sha256"] != line["sha256"] and left_at is None:
                    left_at = int(line["step"])
            yield session, (from_step, left_at)
            return


def _checkpoints(side: Side, helper: Side | None, step: int) -> Iterator[Checkpoint]:
    """Yield the nearest sound checkpoint of a run, then that of another with the same steps up to it."""
    for one in (side, helper):
        found = None if one is None else checkpoint_before(one, step)
        if one is not None and found is not None and one.trace[: found.step] == side.trace[: found.step]:
            yield found
