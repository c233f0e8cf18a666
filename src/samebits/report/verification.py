"""A verification as plain text: the verdict first, what was rebuilt, how far that reaches, and what differs."""

from __future__ import annotations

from collections.abc import Iterator

from samebits.errors import printable
from samebits.report.text import INDENT, clean, difference_lines, wrap
from samebits.verify.verification import Verification

MAX_PARTS = 8
MAX_STEPS = 3


def render_verification(found: Verification, *, engine: str, width: int | None = None) -> str:
    """Return the report of one verification, ending in a line feed.

    Args:
        engine: what executed the steps, in a few words.
        width: columns to wrap at; None for a pipe.
    """
    pieces = (piece for line in _lines(found, engine) for piece in wrap(line, width))
    return "\n".join(pieces).rstrip("\n") + "\n"


def _lines(found: Verification, engine: str) -> Iterator[str]:
    yield f"{found.verdict.upper()}  {printable(str(found.run))}"
    if found.golden_digest is not None:
        yield f"{INDENT}digest     {found.golden_digest}"
    if found.executed:
        yield f"{INDENT}rebuilt    {_executed(found)}, by {engine}"
        yield f"{INDENT}steps      {_outcome(found)}"
    if found.comparison is not None:
        n_same, n_files = found.comparison.n_same_files, found.comparison.n_files
        yield f"{INDENT}files      {n_same} of {n_files} golden files, made anew, are the same, bit for bit"
    elif found.choice is not None and found.verdict == "same":
        yield f"{INDENT}files      the adapter is the last step's; results, generations and settings were not made anew"
    yield from _chance_lines(found)
    for remark in found.remarks:
        yield f"{INDENT}note: {clean(remark)}"
    yield from _difference_lines(found)
    if found.next_steps:
        yield ""
        yield from (f"next: {clean(step)}" for step in found.next_steps)


def _executed(found: Verification) -> str:
    if found.n_executed == found.n_steps:
        return f"all {found.n_steps:,} steps"
    parts = [f"{first}" if first == last else f"{first} to {last}" for first, last in found.executed]
    more = f" and {len(parts) - MAX_PARTS} more parts" if len(parts) > MAX_PARTS else ""
    return f"{found.n_executed:,} of {found.n_steps:,} steps ({', '.join(parts[:MAX_PARTS])}{more})"


def _outcome(found: Verification) -> str:
    n = len(found.steps)
    if not n:
        return "each has the recorded line of the trace, bit for bit"
    return f"{n:,} {'differs' if n == 1 else 'differ'} from the recorded line of the trace"


def _chance_lines(found: Verification) -> Iterator[str]:
    choice = found.choice
    if choice is None or not found.executed:
        return
    n = len(choice.segments)
    drawn = f"{n} of {choice.n_segments} segments {'was' if n == 1 else 'were'} drawn, each equally likely"
    yield f"{INDENT}chance     {_percent(float(choice.unseen))} that a cheat in one step goes unseen: {drawn}"
    yield f"{INDENT}seed       {printable(choice.seed)}"


def _percent(chance: float) -> str:
    # Rounded up in the third place at most: a chance is never told smaller than it is.
    return f"{-(-chance * 100_000 // 1) / 1000:g} %"


def _difference_lines(found: Verification) -> Iterator[str]:
    if found.fault is not None and not found.fault.where and not found.fault.children:
        # What is asked for by digest is asked for by the whole digest.
        yield ""
        yield f"{'' if found.fault.is_proven else 'cannot tell: '}{printable(found.fault.note)}"
    elif found.fault is not None:
        yield ""
        yield from difference_lines(found.fault)
    for step in found.steps[:MAX_STEPS]:
        yield ""
        yield from difference_lines(step)
    if len(found.steps) > MAX_STEPS:
        yield f"and {len(found.steps) - MAX_STEPS:,} more steps; --json lists them"
    compared = found.comparison.difference if found.comparison is not None else None
    if compared is not None:
        yield ""
        yield from difference_lines(compared)
