"""One deliberate change to one run: how it is applied, what is expected of the bits, and how its effect is seen.

`same` is a promise. `may differ` marks a factor of the machine's arithmetic under stock kernels, which are not expected
to survive it; a study in which none of these factors changes anything has varied nothing.

Each variation names the recorded facts by which its change is seen. Where a child records the same facts as the golden
run, the knob did nothing on this machine, and the variation is "not tested".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from samebits.images.container import Container
from samebits.recipe.settings import PORTABLE_F32, STOCK

Expectation = Literal["same", "may differ"]

GOLDEN_RUNS = {PORTABLE_F32: "golden", STOCK: "stock"}
"""The run of each profile that its others are held against."""

GOLDEN = GOLDEN_RUNS[PORTABLE_F32]
UNCHANGED = "repeat"
PAIRS = "pairs"
PRELOAD = "LD_PRELOAD"


@dataclass(frozen=True)
class Beginning:
    """A first child that ends in the middle of the training; the variation's own child then resumes the run.

    Args:
        prelude: Python statements that make it end.
        exit_code: how it must end; with another one, it did not do what it was for.
        settings: `key=value` pairs of this child alone.
    """

    prelude: str
    exit_code: int
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Variation:
    """One change to one run.

    Args:
        name: of the run's folder.
        factor: what `--only` selects.
        changed: one phrase for the tables.
        profile: numerics profile that is trained.
        expectation: of the golden digest.
        environment: variables set in the child.
        settings: `key=value` pairs for `--set`; execution settings of the profile only.
        folder: working folder, below the study's own; the usual one where left out.
        prelude: Python statements before the command line runs in the same process; None starts it as a program.
        facts: recorded facts, at least one of which must differ from the golden run's; none where it cannot fail.
        against: name of the run whose digest is expected.
        unavailable: why it cannot be applied here; no run is made then.
        beginning: a first child that leaves a run to resume.
        changes: what the child is before it starts, `name=value` each; see `launcher.CHANGES`.
        parts: the variations that this one is together; each is seen by its own facts.
        container: the image that it runs in, instead of as a child of this machine's Python.
    """

    name: str
    factor: str
    changed: str
    profile: str = PORTABLE_F32
    expectation: Expectation = "same"
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: tuple[str, ...] = ()
    folder: str | None = None
    prelude: str | None = None
    facts: tuple[str, ...] = ()
    against: str = GOLDEN
    unavailable: str | None = None
    beginning: Beginning | None = None
    changes: tuple[str, ...] = ()
    parts: tuple[Variation, ...] = ()
    container: Container | None = None


def repeats(profile: str, n_runs: int) -> list[Variation]:
    """Return the golden run of a profile and its repeats: `n_runs` runs with nothing changed."""
    golden = GOLDEN_RUNS[profile]
    first = Variation(golden, UNCHANGED, "nothing: the golden run", profile, against=golden)
    again = (Variation(f"repeat-{number}", UNCHANGED, "nothing") for number in range(1, n_runs))
    return [first, *(of_profile(variation, profile) for variation in again)]


def of_profile(variation: Variation, profile: str) -> Variation:
    """Return the same change to a run of another profile, under a name of its own."""
    prefix = "" if profile == PORTABLE_F32 else f"{profile}-"
    return replace(variation, name=f"{prefix}{variation.name}", profile=profile, against=GOLDEN_RUNS[profile])


def combine(name: str, parts: Sequence[Variation], *, changed: str | None = None) -> Variation:
    """Return several changes of one profile in one run; where two set the same, the later one holds."""
    environment: dict[str, str] = {}
    for part in parts:
        preloaded = [entry for entry in (environment.get(PRELOAD), part.environment.get(PRELOAD)) if entry]
        environment |= part.environment
        if preloaded:
            environment[PRELOAD] = ":".join(preloaded)
    may_differ = any(part.expectation == "may differ" for part in parts)
    preludes = [part.prelude for part in parts if part.prelude is not None]
    return Variation(
        name,
        PAIRS,
        changed or " + ".join(part.name for part in parts),
        parts[0].profile,
        "may differ" if may_differ else "same",
        environment,
        tuple(pair for part in parts for pair in part.settings),
        next((part.folder for part in parts if part.folder), None),
        "\n".join(preludes) if preludes else None,
        against=parts[0].against,
        beginning=next((part.beginning for part in parts if part.beginning), None),
        changes=tuple(change for part in parts for change in part.changes),
        parts=tuple(parts),
    )


def without(variations: Sequence[Variation], reason: str) -> list[Variation]:
    """Return variations that cannot be applied, for `reason`."""
    return [replace(variation, unavailable=reason) for variation in variations]


def fact(facts: Mapping[str, Any], name: str) -> Any:
    """Return a recorded fact by its dotted name; None where it was not recorded."""
    value: Any = facts
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
