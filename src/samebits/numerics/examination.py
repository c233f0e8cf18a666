"""What `samebits doctor` tells: one point, measured; and the point of the portable arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from samebits.numerics.build import host_platform
from samebits.numerics.canaries.check import CANARIES, refusals
from samebits.numerics.library import BUILD_COMMAND


@dataclass(frozen=True)
class Check:
    """One point: whether it holds (None: cannot tell), what was measured, and what to do where it does not."""

    name: str
    ok: bool | None
    measured: str
    remedy: str


def examine_arithmetic() -> Check:
    """Run the known answers of every numerics clause on every library that this processor can run."""
    name, remedy = "known answers", f"run `{BUILD_COMMAND}`"
    found = refusals()
    if not found:
        return Check(name, None, f"there is no native library for {host_platform()} here", remedy)
    if refused := {isa: error for isa, error in found.items() if error is not None}:
        return Check(name, False, f"refused: {', '.join(refused)}: {next(iter(refused.values()))}", remedy)
    n_clauses = len({canary.clause for canary in CANARIES})
    measured = f"{len(CANARIES)} answers of {n_clauses} clauses are the clauses' own on {', '.join(found)}"
    return Check(name, True, measured, remedy)
