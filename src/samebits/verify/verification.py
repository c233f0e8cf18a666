"""Rebuilding a recorded run on this machine, step by step, and holding what comes out against what was recorded.

Nothing here knows an engine: whoever calls hands one in, as a function from a recorded run to a `Session`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from samebits.errors import NonFiniteError, RecordError, SamebitsError, StorageError, UsageError
from samebits.record.layout import RunFolder
from samebits.record.target import check_target
from samebits.verify.advice import finish_step
from samebits.verify.difference import Comparison, Difference, Verdict
from samebits.verify.recorded import Recorded, read_recorded, recorded_execution
from samebits.verify.reexecution import Listener, Reexecution
from samebits.verify.session import Session
from samebits.verify.spots import Choice, Segment, choose, segments_of

Rebuild = Callable[[Recorded], Session]


@dataclass(frozen=True)
class Spot:
    """How many segments to execute again, and the seed that repeats an earlier choice."""

    n_segments: int
    seed: str | None = None


@dataclass(frozen=True)
class Verification:
    """What was rebuilt and what was found.

    Args:
        run: path as it was given.
        golden_digest: over the recorded files; None where they were not read to their end.
        n_steps: of the recorded run.
        executed: first and last step of each part that was executed again, as far as it got.
        choice: the segments that were drawn; None where all steps were to be executed.
        fault: why nothing was rebuilt, or not all that was to be.
        steps: a difference for each step that differs.
        comparison: the recorded golden files against the rebuilt ones; None where these were not made.
        remarks: sentences that a reader of the verdict must know.
        next_steps: what to do now.
    """

    run: Path
    golden_digest: str | None = None
    n_steps: int = 0
    executed: tuple[tuple[int, int], ...] = ()
    choice: Choice | None = None
    fault: Difference | None = None
    steps: tuple[Difference, ...] = ()
    comparison: Comparison | None = None
    remarks: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()

    @property
    def n_executed(self) -> int:
        """Steps that were executed again."""
        return sum(last - first + 1 for first, last in self.executed)

    @property
    def verdict(self) -> Verdict:
        """Return same only where all that was to be made again was made, and has the recorded bits."""
        found = [*([] if self.fault is None else [self.fault]), *self.steps]
        compared = None if self.comparison is None else self.comparison.verdict
        if any(difference.proves_different for difference in found) or compared == "different":
            return "different"
        is_compared = compared == "same" if self._reaches_the_end else compared is None
        return "same" if not found and is_compared and self.n_executed == self._n_wanted else "undecided"

    @property
    def _n_wanted(self) -> int:
        return self.n_steps if self.choice is None else sum(segment.n_steps for segment in self.choice.segments)

    @property
    def _reaches_the_end(self) -> bool:
        return self.choice is None or self.choice.segments[-1].last == self.n_steps

    def as_document(self) -> dict[str, Any]:
        """Return everything as JSON values, digests whole."""
        return {
            "verdict": self.verdict,
            "run": str(self.run),
            "golden_digest": self.golden_digest,
            "n_steps": self.n_steps,
            "n_executed": self.n_executed,
            "executed": [list(part) for part in self.executed],
            "spot": None if self.choice is None else self.choice.as_document(),
            "fault": None if self.fault is None else self.fault.as_document(),
            "steps": [step.as_document() for step in self.steps],
            "comparison": None if self.comparison is None else self.comparison.as_document(),
            "remarks": list(self.remarks),
            "next_steps": list(self.next_steps),
        }


def verify(
    path: Path,
    rebuild: Rebuild,
    *,
    spot: Spot | None = None,
    keep_going: bool = False,
    out: Path | None = None,
    listener: Listener | None = None,
) -> Verification:
    """Execute a recorded run again, whole or in spots, and compare it step by step.

    What cannot be read, found or decided makes the verdict undecided and never raises.

    Args:
        path: the run folder: a stranger's.
        rebuild: makes a training of the recipe before its first step; called when the folder has been checked.
        spot: how many segments between stored checkpoints; None executes every step.
        keep_going: go on after the first difference.
        out: keep the rebuilt run in this new or empty folder.
        listener: told about every step.
    Raises:
        UsageError: the arguments do not fit together.
        StorageError: the disk refused what is rebuilt.
    """
    if out is not None and spot is not None:
        raise UsageError("--out must keep a whole rebuilt run", got="--spot beside it", remedy="leave one of them out")
    if out is not None:
        check_target(RunFolder(out), resume=False)
    recorded = read_recorded(path)
    if isinstance(recorded, Difference):
        return Verification(path, fault=recorded, next_steps=_about_folder(path, recorded))
    found = Verification(path, recorded.golden_digest, len(recorded.trace), remarks=_remarks(spot))
    execution, listener = None, listener or Listener()
    try:
        segments = [Segment(1, found.n_steps, None)]
        if spot is not None:
            choice = choose(_checkpointed(recorded), spot.n_segments, spot.seed)
            found, segments = replace(found, choice=choice), list(choice.segments)
        session = rebuild(recorded)
        found = replace(found, remarks=(*found.remarks, *_about_machine(recorded, session)))
        if session.n_steps != found.n_steps:
            note = f"the recipe makes {session.n_steps} steps, and the trace has {found.n_steps}"
            return replace(found, fault=Difference("value", "trace.jsonl", note=note))
        execution = Reexecution(recorded, session, keep_going=keep_going, listener=listener)
        execution.run(segments, out)
    except (UsageError, StorageError):
        raise
    except (SamebitsError, MemoryError) as error:
        found = replace(found, fault=_fault(error))
    finally:
        listener.on_finish()
    return found if execution is None else _told(found, execution)


def _checkpointed(recorded: Recorded) -> list[Segment]:
    segments = segments_of(recorded)
    if len(segments) < 2:
        raise RecordError(
            "spots must lie between stored checkpoints",
            got="none",
            where=str(recorded.run.checkpoints),
            remedy="fetch checkpoints/ with the run, or verify every step, without --spot",
        )
    return segments


def _fault(error: SamebitsError | MemoryError) -> Difference:
    if isinstance(error, NonFiniteError):
        return Difference("value", "", note=f"the recorded run is finite, and the rebuilt one is not: {error}")
    told = str(error) if isinstance(error, SamebitsError) else "the recipe must fit in this machine's memory"
    return Difference("incomplete", "", note=told, is_proven=False)


def _told(found: Verification, execution: Reexecution) -> Verification:
    told = replace(
        found,
        executed=tuple(part for part in execution.executed if part[1] >= part[0]),
        steps=tuple(execution.differences),
        comparison=execution.comparison,
    )
    if told.verdict == "same":
        return told
    return replace(told, next_steps=_about_difference(told, is_bit=bool(told.steps or told.comparison)))


def _remarks(spot: Spot | None) -> tuple[str, ...]:
    if spot is None or spot.seed is None:
        return ()
    return ("the seed of the choice was given: the chance holds against whoever did not know it beforehand",)


def _about_machine(recorded: Recorded, session: Session) -> tuple[str, ...]:
    """Return what decides the bits here and was another where the run was recorded."""
    told = recorded_execution(recorded.run)
    differing = [name for name in session.deciding if told.get(name) != session.deciding[name]]
    if not session.deciding:
        return ()
    if not differing:
        return ("stock kernels: what decides their bits here is what was recorded; that holds on one machine at best",)
    shown = ", ".join(f"{name}{_both(told.get(name), session.deciding[name])}" for name in differing)
    return (f"stock kernels have the same bits on one machine at best, and this one is another in {shown}",)


def _both(recorded: Any, here: Any) -> str:
    return f" ({here} for {recorded})" if isinstance(here, str | int) and isinstance(recorded, str | int) else ""


def _about_folder(path: Path, fault: Difference) -> tuple[str, ...]:
    if fault.kind == "edited" or fault.proves_different:
        return ("fetch the run again from where it was made (as bytes, not as text), then verify it again",)
    return (finish_step(path),) if "was not finished" in fault.note else ()


def _about_difference(found: Verification, *, is_bit: bool) -> tuple[str, ...]:
    if not is_bit:
        return ()
    run = shlex.quote(str(found.run))
    if found.choice is not None and found.verdict == "undecided":
        return (f"execute every step: samebits verify {run}",)
    whole = f"samebits verify {run} --keep-going --out REBUILT"
    return (f"find the operation: {whole}, then samebits bisect {run} REBUILT",)
