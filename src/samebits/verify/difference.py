"""What a comparison found, as one recursive value.

A `Difference` is a node: a folder holds files, a file tensors or keys or lines, a tensor its first differing element.
Comparators build it, `report.text` draws it, `--json` writes all of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Verdict = Literal["same", "different", "undecided"]

EXIT_CODES: dict[Verdict, int] = {"same": 0, "different": 1, "undecided": 2}

Kind = Literal[
    "run", "folder", "file", "tensor", "line", "step", "value",
    "missing", "extra", "renamed", "exchanged", "moved", "reordered",
    "truncated", "extended", "edited", "layout", "encoding", "not a file",
    "dtype", "shape", "nan", "sign of zero", "bytes", "chain",
    "refused", "unreadable", "version", "incomplete",
]  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """One place where the candidate is not the golden, or where that could not be told.

    Args:
        kind: the sort of difference.
        where: name within the parent: a path, a tensor, a key, `line 7`; empty at the root.
        golden: what the golden has: text, a number or another JSON value; None where it has nothing.
        candidate: what the candidate has.
        note: one sentence without a full stop, for a person.
        facts: the same in numbers and whole digests, for a program.
        children: the differences within this one.
        is_proven: False where the bits could not be compared, so that no verdict follows from this node.
    """

    kind: Kind
    where: str
    golden: Any = None
    candidate: Any = None
    note: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    children: tuple[Difference, ...] = ()
    is_proven: bool = True

    @property
    def proves_different(self) -> bool:
        """Say whether bits were seen to differ here or below."""
        if not self.is_proven:
            return False
        return not self.children or any(child.proves_different for child in self.children)

    def as_document(self) -> dict[str, Any]:
        """Return the node and all below as JSON values; keys without a value are left out."""
        document: dict[str, Any] = {"kind": self.kind, "where": self.where}
        if self.golden is not None or self.candidate is not None:
            document |= {"golden": json_safe(self.golden), "candidate": json_safe(self.candidate)}
        if self.note:
            document["note"] = self.note
        if self.facts:
            document["facts"] = json_safe(dict(self.facts))
        if not self.is_proven:
            document["is_proven"] = False
        if self.children:
            document["children"] = [child.as_document() for child in self.children]
        return document


@dataclass(frozen=True)
class Comparison:
    """One candidate held against one golden.

    Args:
        golden: path as it was given.
        candidate: path as it was given.
        difference: None where every compared bit is the same.
        golden_digest: of a run, over the files as they are now; None for other folders and files.
        candidate_digest: the same of the candidate.
        n_files: how many files either side has, by name.
        n_same_files: how many of them the candidate has bit for bit.
        remarks: sentences that a reader of the verdict must know.
        next_steps: what to do now, most useful first.
        environment: (field, golden's, candidate's) where the two observed machines differ; never reaches the verdict.
    """

    golden: Path
    candidate: Path
    difference: Difference | None
    golden_digest: str | None = None
    candidate_digest: str | None = None
    n_files: int = 0
    n_same_files: int = 0
    remarks: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()
    environment: tuple[tuple[str, Any, Any], ...] | None = None

    @property
    def verdict(self) -> Verdict:
        """Return same, different, or undecided where something stayed unread and nothing was seen to differ."""
        if self.difference is None:
            return "same"
        return "different" if self.difference.proves_different else "undecided"

    def as_document(self) -> dict[str, Any]:
        """Return everything as JSON values, digests whole."""
        return {
            "verdict": self.verdict,
            "golden": str(self.golden),
            "candidate": str(self.candidate),
            "golden_digest": self.golden_digest,
            "candidate_digest": self.candidate_digest,
            "n_files": self.n_files,
            "n_same_files": self.n_same_files,
            "difference": None if self.difference is None else self.difference.as_document(),
            "remarks": list(self.remarks),
            "environment": None if self.environment is None else json_safe([list(row) for row in self.environment]),
            "next_steps": list(self.next_steps),
        }


def worst_verdict(comparisons: list[Comparison]) -> Verdict:
    """Return the verdict over several candidates.

    One that was seen to differ decides, whatever the others are: 1 is a finding, and 2 (could not tell) beside it would
    hide it from a CI. Without one, a candidate that could not be read keeps the whole from being called the same.
    """
    verdicts = {comparison.verdict for comparison in comparisons}
    if "different" in verdicts:
        return "different"
    return "undecided" if "undecided" in verdicts else "same"


def json_safe(value: Any) -> Any:
    """Return `value` with what JSON cannot hold (infinite numbers read from `1e999`, paths, tuples) as text or list."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
