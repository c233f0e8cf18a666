"""What to do after a verdict: one line per cause that was seen, most useful first."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samebits.verify.difference import Difference

EnvironmentRow = tuple[str, Any, Any]
_SHOWN_KEYS = 5
# What happens to files on their way. A run that agrees with its own summary wrote its files like that.
_DAMAGE = {"truncated", "missing", "exchanged", "moved", "renamed", "encoding", "chain"}
# Observed facts that are known to move the bits of PyTorch's own kernels, in the order to try them.
_FACTORS = (
    ("execution.n_threads", "the number of threads (OMP_NUM_THREADS)"),
    ("execution.isa", "the instruction set (ATEN_CPU_CAPABILITY)"),
    ("execution.libraries", "library versions"),
    ("env.variables.MKL_", "MKL's variables"),
    ("env.cpu.name", "the CPU model"),
)


def next_steps(
    difference: Difference,
    *,
    recipe_keys: list[str],
    environment: tuple[EnvironmentRow, ...] | None,
) -> tuple[str, ...]:
    """Return what to do now about a difference.

    Args:
        difference: the root of the tree.
        recipe_keys: keys in which the recipes differ.
        environment: rows in which the machines differ; None where they were not recorded or not asked for.
    """
    kinds = {node.kind for node in _nodes(difference)}
    top_kinds = {difference.kind, *(child.kind for child in difference.children)}
    steps = []
    if "version" in kinds:
        return ("compare them with a samebits that knows this record_version",)
    if recipe_keys:
        more = f" and {len(recipe_keys) - _SHOWN_KEYS} more" if len(recipe_keys) > _SHOWN_KEYS else ""
        keys = ", ".join(recipe_keys[:_SHOWN_KEYS]) + more
        steps.append(f"the recipes differ in {keys}: train both with one recipe, then compare again")
    if "edited" in top_kinds or (difference.kind != "run" and top_kinds & _DAMAGE):
        steps.append(
            "fetch the damaged files again from where they were made (as bytes, not as text), then compare again"
        )
    if "refused" in kinds:
        steps.append("replace links and other special entries by plain files, then compare again")
    if not recipe_keys and kinds & {"step", "tensor", "nan", "sign of zero"} and "edited" not in kinds:
        steps.append(_about_machines(environment))
    if "unreadable" in kinds:
        steps.append("restore what cannot be read, then compare again")
    return tuple(steps)


def finish_step(path: Path) -> str:
    """Return what to do about a run that was not finished."""
    return f"finish the run: samebits train RECIPE --resume --out {shlex.quote(str(path))}"


def start_step(path: Path) -> str:
    """Return what to do about a folder in which there is no run, or no golden files any more."""
    return f"name another run folder, or train one: samebits train RECIPE --out {shlex.quote(str(path))}"


def _about_machines(environment: tuple[EnvironmentRow, ...] | None) -> str:
    if environment is None:
        return "compare run folders that hold observed/: it shows what differs between the machines"
    fields = [field for field, _, _ in environment]
    factors = [words for prefix, words in _FACTORS if any(field.startswith(prefix) for field in fields)]
    if factors:
        order = "rule these out in this order" if len(factors) > 1 else "make it the same, then train again"
        return f"the recipes agree and the machines differ in {', then '.join(factors)}: {order}"
    return "the recipes agree and no known factor differs: train the candidate again and compare it with itself"


def _nodes(difference: Difference) -> Iterator[Difference]:
    yield difference
    for child in difference.children:
        yield from _nodes(child)
