"""Comparisons as plain text: the verdict first, then what differs as a tree, then what to do next.

Nothing here compares. Every text that came from a compared file or its name is escaped before it reaches a terminal,
and digests are cut to 12 digits, but for the golden digest, which is always whole.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from samebits.errors import printable
from samebits.verify.difference import Comparison, Difference, json_safe, worst_verdict

SHOWN_DIGEST_DIGITS = 12
MAX_CHILDREN = 10
MAX_ENVIRONMENT_ROWS = 12
MAX_VALUE_CHARACTERS = 120
MAX_ENVIRONMENT_CHARACTERS = 40
MIN_WIDTH = 40
INDENT = "  "

_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
# Long lists of what rarely moves bits come after the machine itself.
_LATE_GROUPS = ("env.distributions", "env.variables")
# Values that are JSON: shown as JSON, so that "1" and 1 look different.
_JSON_KINDS = ("value", "reordered", "layout")
_ONE_SIDED = {"missing": "golden", "extra": "candidate"}


def render(comparisons: Sequence[Comparison], *, width: int | None = None) -> str:
    """Return the report of one or more candidates, ending in a line feed.

    Args:
        comparisons: in the order of the command line.
        width: columns to wrap at; None for a pipe: one fact a line, however long.
    """
    lines: list[str] = []
    if len(comparisons) > 1:
        counts = [
            f"{sum(comparison.verdict == verdict for comparison in comparisons)} {verdict}"
            for verdict in ("same", "different", "undecided")
        ]
        lines += [
            f"{worst_verdict(list(comparisons)).upper()}  {len(comparisons)} candidates: {', '.join(counts)}",
            "",
        ]
    for comparison in comparisons:
        lines += [*_comparison_lines(comparison), ""]
    pieces = (piece for line in lines for piece in wrap(line, width))
    return "\n".join(pieces).rstrip("\n") + "\n"


def _comparison_lines(comparison: Comparison) -> Iterator[str]:
    yield f"{comparison.verdict.upper()}  {printable(str(comparison.candidate))}"
    yield f"{INDENT}against    {printable(str(comparison.golden))}"
    yield from _digest_lines(comparison)
    if comparison.n_files > 1:
        yield f"{INDENT}{comparison.n_same_files} of {comparison.n_files} files are the same, bit for bit"
    for remark in comparison.remarks:
        yield f"{INDENT}note: {clean(remark)}"
    if comparison.difference is not None:
        yield ""
        yield from difference_lines(comparison.difference)
    if comparison.environment is not None:
        yield ""
        yield from _environment_lines(comparison.environment)
    if comparison.next_steps:
        yield ""
        yield from (f"next: {clean(step)}" for step in comparison.next_steps)


def _digest_lines(comparison: Comparison) -> Iterator[str]:
    if comparison.golden_digest and comparison.golden_digest == comparison.candidate_digest:
        yield f"{INDENT}digest     {comparison.golden_digest}"
    elif comparison.golden_digest or comparison.candidate_digest:
        yield f"{INDENT}golden     {comparison.golden_digest or 'no digest: not every file was read'}"
        yield f"{INDENT}candidate  {comparison.candidate_digest or 'no digest: not every file was read'}"


def difference_lines(root: Difference) -> Iterator[str]:
    """Yield a difference as a tree of lines."""
    if root.where:
        yield from _node_lines(root, 0)
        return
    if root.note:
        yield f"{'' if root.proves_different else 'cannot tell: '}{clean(root.note)}"
    yield from _child_lines(root, 0)


def _node_lines(node: Difference, depth: int) -> Iterator[str]:
    indent = INDENT * depth
    told = [] if node.is_proven else ["cannot tell"]
    told += [clean(node.note)] if node.note else []
    values = list(_value_texts(node))
    name = clean(node.where, MAX_VALUE_CHARACTERS)
    if not told and len(values) == 2 and not node.children:
        yield f"{indent}{name}: {values[0]}   {values[1]}"
        return
    yield f"{indent}{name}{': ' if told else ''}{': '.join(told)}"
    if len(values) == 2 and sum(map(len, values)) <= MAX_VALUE_CHARACTERS // 2:
        yield f"{indent}{INDENT}{values[0]}   {values[1]}"
    else:
        yield from (f"{indent}{INDENT}{value}" for value in values)
    yield from _child_lines(node, depth + 1)


def _child_lines(node: Difference, depth: int) -> Iterator[str]:
    for child in node.children[:MAX_CHILDREN]:
        yield from _node_lines(child, depth)
    n_more = len(node.children) - MAX_CHILDREN
    if n_more > 0:
        yield f"{INDENT * depth}and {n_more:,} more; --json lists them"


def _value_texts(node: Difference) -> Iterator[str]:
    # The names of a pair stand in the node's own name and note already.
    if node.children or node.kind in ("exchanged", "moved"):
        return
    if node.kind == "renamed":
        yield f"now {clean(str(node.candidate), MAX_VALUE_CHARACTERS)}"
        return
    if node.golden is None and node.candidate is None and node.kind != "value":
        return
    for side, value in (("golden", node.golden), ("candidate", node.candidate)):
        if _ONE_SIDED.get(node.kind, side) == side:
            yield f"{side} {show_value(value, node.kind)}"


def show_value(value: Any, kind: str) -> str:
    """Return a value of a node as text: a digest cut, a text escaped, all else as JSON."""
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return value[:SHOWN_DIGEST_DIGITS]
    if isinstance(value, str) and kind not in _JSON_KINDS and value == value.strip() and value:
        return clean(value, MAX_VALUE_CHARACTERS * 2)
    return clean(json.dumps(json_safe(value), ensure_ascii=False), MAX_VALUE_CHARACTERS)


def _environment_lines(rows: Sequence[tuple[str, Any, Any]]) -> Iterator[str]:
    if not rows:
        yield "the recorded machines agree in every field (observed, never part of the verdict)"
        return
    noun = "field" if len(rows) == 1 else "fields"
    yield f"the recorded machines differ in {len(rows):,} {noun} (observed, never part of the verdict)"
    ranked = sorted(rows, key=lambda row: row[0].startswith(_LATE_GROUPS))
    shown = [
        (clean(field, MAX_VALUE_CHARACTERS), _show_fact(ours), _show_fact(theirs))
        for field, ours, theirs in ranked[:MAX_ENVIRONMENT_ROWS]
    ]
    shown.insert(0, ("", "golden", "candidate"))
    widths = [max(len(row[column]) for row in shown) for column in (0, 1)]
    for field, ours, theirs in shown:
        yield f"{INDENT}{field:<{widths[0]}}  {ours:<{widths[1]}}  {theirs}"
    if len(rows) > MAX_ENVIRONMENT_ROWS:
        yield f"{INDENT}and {len(rows) - MAX_ENVIRONMENT_ROWS:,} more; --json lists them"


def _show_fact(value: Any) -> str:
    if value is None:
        return "not told"
    text = value if isinstance(value, str) else json.dumps(json_safe(value), ensure_ascii=False)
    return clean(text, MAX_ENVIRONMENT_CHARACTERS)


def clean(text: str, limit: int | None = None) -> str:
    """Return a stranger's text on one line, without control characters, digests cut, no longer than `limit`."""
    # Cut before escaping: a text of many megabytes is escaped only as far as it is shown.
    kept = text if limit is None else text[: limit + 1]
    shown = printable(_DIGEST.sub(lambda match: match[0][:SHOWN_DIGEST_DIGITS], kept))
    return shown if limit is None or len(shown) <= limit else f"{shown[: limit - 3]}..."


def wrap(line: str, width: int | None) -> list[str]:
    """Return a line in pieces of at most `width` columns, the later ones indented; whole where `width` is None."""
    if width is None or len(line) <= width:
        return [line.rstrip()]
    indent = line[: len(line) - len(line.lstrip())]
    pieces = textwrap.wrap(
        line.rstrip(),
        max(width, MIN_WIDTH),
        subsequent_indent=f"{indent}{INDENT * 2}",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return pieces or [""]
