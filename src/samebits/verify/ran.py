"""Two observed machines: what can reach the bits of a run beside its recipe, and what an experiment excludes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Group = Literal["execution", "library", "code", "machine"]

# By the first that fits. What is in none (memory, locale, time zone, other distributions) reaches no bit of a step.
_PREFIXES: tuple[tuple[str, Group], ...] = (
    ("execution.n_threads", "execution"),
    ("execution.isa", "execution"),
    ("env.variables.MKL_", "execution"),
    ("env.variables.KMP_", "execution"),
    ("env.variables.ONEDNN_", "execution"),
    ("env.variables.DNNL_", "execution"),
    ("env.variables.TORCH_", "execution"),
    ("env.variables.LD_PRELOAD", "execution"),
    ("env.variables.GLIBC_TUNABLES", "execution"),
    ("env.variables.OPENBLAS_CORETYPE", "execution"),
    ("execution.libraries.", "library"),
    ("env.numerics.sources_sha256", "code"),
    ("env.numerics.library_sha256", "code"),
    ("env.distributions.samebits.", "code"),
    ("env.torch.git_version", "library"),
    ("env.cpu.name", "machine"),
    ("env.cpu.vendor", "machine"),
    ("env.cpu.family", "machine"),
    ("env.cpu.model", "machine"),
    ("env.cpu.stepping", "machine"),
    ("env.cpu.flags", "machine"),
    ("env.cpu.microcode", "machine"),
    ("env.cpu.architecture", "machine"),
    ("env.system.libc", "machine"),
    ("env.system.byte_order", "machine"),
    ("env.python.version", "machine"),
)
# Digests of operations: they tell that the machine computes otherwise, not why.
_EFFECTS = ("execution.probes.", "env.torch.probes.")
_PORTABLE_LIBRARIES = ("tokenizers", "jinja2")

WORDS: dict[Group, str] = {
    "execution": "the execution",
    "library": "library versions",
    "code": "the code",
    "machine": "the machine",
}


@dataclass(frozen=True)
class Observed:
    """One field in which two observed machines differ.

    Args:
        here: the value on this machine; None where it was not asked.
    """

    field: str
    a: Any
    b: Any
    group: Group
    here: Any = None

    @property
    def name(self) -> str:
        """The field in the words of a user: `transformers`, `n_threads`, `cpu.name`."""
        for prefix in ("execution.libraries.", "execution.", "env.distributions.", "env."):
            if self.field.startswith(prefix):
                return self.field.removeprefix(prefix)
        return self.field


def observed_changes(
    a: Mapping[str, Mapping[str, Any]],
    b: Mapping[str, Mapping[str, Any]],
    here: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[tuple[Observed, ...], bool]:
    """Return the fields that can reach the bits and differ, and whether both sides told of their machines at all.

    Args:
        a: `execution` and `env` as recorded.
        here: the same of this machine.
    """
    # Importing the fingerprint takes a while, and only different runs need it.
    from samebits.record.fingerprint import compare_fingerprints

    groups = ("execution", "env")
    found: list[Observed] = []
    is_told = all(a.get(group) and b.get(group) for group in groups)
    for group in groups:
        left, right = a.get(group), b.get(group)
        if left is None or right is None:
            continue
        for name, ours, theirs in compare_fingerprints(left, right):
            field = f"{group}.{name}"
            kind = group_of(field)
            if kind is not None:
                found.append(Observed(field, ours, theirs, kind, _at((here or {}).get(group), name)))
    return _without_consequences(found), is_told


def group_of(field: str) -> Group | None:
    """Return the group of a field, None where it cannot reach the bits of a step."""
    return next((group for prefix, group in _PREFIXES if field.startswith(prefix)), None)


def reaches_portable(row: Observed, field: str) -> bool:
    """Say whether what differs can reach a run on the portable arithmetic, by its specification.

    Args:
        field: of the step, the first that differs.
    """
    if row.group == "library":
        return row.name in _PORTABLE_LIBRARIES and field in ("token_sha256", "sample_tokens_sha256", "n_target_tokens")
    return row.group == "code"


def excluded(rows: Iterable[Observed], *, side_with: str) -> tuple[Observed, ...]:
    """Return the rows that this machine rules out: it has the other side's value there, and gave the bits of one side.

    Args:
        side_with: `A` or `B`, the side whose bits this machine gave.
    """
    other = {"A": "b", "B": "a"}[side_with]
    return tuple(row for row in rows if row.here is not None and row.here == getattr(row, other))


def told(rows: Sequence[Observed], limit: int = 3) -> str:
    """Return rows as text: `n_threads (1 and 2), transformers (5.0 and 5.1)`."""
    shown = [f"{row.name} ({_short(row.a)} and {_short(row.b)})" for row in rows[:limit]]
    more = [f"{len(rows) - limit} more"] if len(rows) > limit else []
    return ", ".join(shown + more)


def _without_consequences(rows: list[Observed]) -> tuple[Observed, ...]:
    """Another instruction set has another library of ours, and another release other sources: told once."""
    fields = {row.field for row in rows}
    dropped = set()
    if {"execution.isa", "env.numerics.isa"} & fields or "env.numerics.sources_sha256" in fields:
        dropped.add("env.numerics.library_sha256")
    if "execution.libraries.torch" in fields:
        dropped.add("env.torch.git_version")
    return tuple(row for row in rows if row.field not in dropped)


def _at(document: Mapping[str, Any] | None, dotted: str) -> Any:
    """Return a value by its dotted name; lists of distributions and what is not there are None."""
    value: Any = document
    parts = dotted.split(".")
    while parts:
        if not isinstance(value, Mapping):
            return None
        # Names of distributions and processors hold dots of their own.
        key = next((".".join(parts[:n]) for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in value), None)
        if key is None:
            return None
        value, parts = value[key], parts[key.count(".") + 1 :]
    return value


def _short(value: Any) -> str:
    if value is None:
        return "not told"
    text = value if isinstance(value, str) else repr(value)
    return text[:12] if len(text) == 64 else text if len(text) <= 40 else f"{text[:37]}..."
