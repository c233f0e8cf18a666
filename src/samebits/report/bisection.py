"""A bisection as plain text: the verdict, where the two part, why, what was seen, and what to do next.

Every text that came from a run folder is escaped before it reaches a terminal, and digests are cut to 12 digits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from samebits.report.text import INDENT, MAX_CHILDREN, MAX_VALUE_CHARACTERS, clean, show_value, wrap
from samebits.verify.bisection import HERE, Bisection
from samebits.verify.difference import Difference
from samebits.verify.operations import OperationDifference, name_of
from samebits.verify.sides import Side

MAX_SAMPLES = 8


def render(found: Bisection, *, width: int | None = None) -> str:
    """Return the report of a bisection, ending in a line feed.

    Args:
        width: columns to wrap at; None for a pipe: one fact a line, however long.
    """
    lines = [piece for line in _lines(found) for piece in wrap(line, width)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _lines(found: Bisection) -> Iterator[str]:
    yield f"{found.verdict.upper()}  {_name(found.a)} and {_name(found.b)}"
    for remark in found.remarks:
        yield f"{INDENT}note: {clean(remark)}"
    if found.cause is None:
        return
    place = list(_place_lines(found))
    if place:
        yield ""
        yield "where"
        yield from (f"{INDENT}{line}" for line in place)
    yield ""
    kind = "undecided" if found.cause.kind == "undecided" else f"most likely: {found.cause.kind}"
    yield f"why      {kind}"
    yield f"{INDENT}{clean(found.cause.sentence)}"
    yield from (f"{INDENT}- {clean(line)}" for line in found.cause.evidence)
    if found.cause.others:
        also = "could also be" if found.cause.kind == "undecided" else "besides"
        yield f"{INDENT}{also}: {clean('; '.join(found.cause.others))}"
    if found.cause.next_steps:
        yield ""
        yield from (f"next: {clean(step)}" for step in found.cause.next_steps)


def _name(side: Side) -> str:
    return HERE if side.path is None else clean(str(side.path))


def _place_lines(found: Bisection) -> Iterator[str]:
    if found.file:
        yield f"file       {clean(found.file, MAX_VALUE_CHARACTERS)}"
    first = found.first
    if first is not None:
        of = f" of {max(first.n_steps)}" if max(first.n_steps) else ""
        lines = "line" if first.n_looked_at == 1 else "lines"
        looked = f" (the search looked at {first.n_looked_at} {lines})" if first.n_looked_at else ""
        yield f"step       {first.step}{of}{looked}"
        yield f"field      {first.what} ({first.field or 'sha256'})" + (f": {first.meaning}" if first.meaning else "")
        for node in first.fields[:1]:
            yield from _values(node)
    if first is not None and first.n_looked_at and first.field != "parameters_sha256":
        moved = (
            "the same in every step" if first.parameters_step is None else f"other after step {first.parameters_step}"
        )
        yield f"parameters {moved}"
    if found.samples:
        shown = ", ".join(map(str, found.samples[:MAX_SAMPLES]))
        yield f"samples    {shown}" + (", ..." if len(found.samples) > MAX_SAMPLES else "")
    if found.operation is not None:
        yield from _operation_lines(found.operation)
    elif found.operation_note and first is not None:
        yield f"operation  not named: {clean(found.operation_note)}"


def _values(node: Difference) -> Iterator[str]:
    for shown in (node, *node.children[: MAX_CHILDREN // 2]):
        if shown.golden is None and shown.candidate is None:
            continue
        place = f"{clean(shown.where)} " if shown is not node else ""
        note = f" ({clean(shown.note)})" if shown.note else ""
        yield f"{INDENT * 2}{place}A {_value(shown.golden)}   B {_value(shown.candidate)}{note}"


def _value(value: Any) -> str:
    return show_value(value, "")


def _operation_lines(found: OperationDifference) -> Iterator[str]:
    output = found.output
    yield f"module     {clean(output.module) or 'outside every module'}"
    yield f"operation  {output.n}, {output.phase}: {clean(name_of(output))}"
    if found.kind != "value":
        for name, side in (("A", found.golden), ("B", found.candidate)):
            told = "nothing more" if side is None else f"{name_of(side)}, {side.dtype} {list(side.shape)}"
            yield f"{INDENT * 2}{name} ran {clean(told)}"
        yield f"{INDENT * 2}the {found.n_same} outputs before it that both have are the same"
        return
    same = f"the {found.n_same} outputs of the step before it have the same bits"
    yield f"tensor     {output.dtype} {list(output.shape)}; {same}"
    if found.elements is None:
        yield f"{INDENT * 2}its elements are not at hand on both sides (samebits trace --tensors keeps them)"
        return
    facts = found.elements.facts
    ulp = facts.get("ulp_distance")
    distance = "" if ulp is None else f", {ulp:,} ULP apart"
    yield f"element    {facts['first_index']}: A {found.elements.golden}   B {found.elements.candidate}{distance}"
    most = facts.get("largest_ulp")
    largest = "" if most is None else f", {most:,} ULP at most"
    yield f"elements   {facts['n_different']:,} of {facts['n_elements']:,} differ{largest}"
