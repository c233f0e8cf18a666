"""The table of variations: one deliberate change each, how it is applied, and what is expected of the bits.

`same` is a promise. `may differ` marks a factor of the machine's arithmetic: stock kernels are not expected to survive
it, and a study in which none of these factors changes anything has varied nothing.

Each variation names the recorded facts by which its change is seen. Where a child records the same facts as the golden
run, the knob did nothing on this machine, and the variation is "not tested".
"""

from __future__ import annotations

import contextlib
import locale
import shutil
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from samebits.recipe.settings import Settings

Expectation = Literal["same", "may differ"]

GOLDEN = "golden"
# What can tell that arithmetic ran otherwise; `probes` are digests of operations on fixed numbers.
MACHINE_FACTS = (
    "execution.isa",
    "execution.n_threads",
    "env.torch.mkl.instruction_set",
    "execution.probes",
)
PAIRS = "pairs"
FACTORS = ("hash-seed", "locale", "time-zone", "folder", "threads", "aten", "mkl", PAIRS)
CAPABILITIES = ("default", "avx2", "avx512")
COMMA_LOCALES = ("de_DE.UTF-8", "fr_FR.UTF-8", "es_ES.UTF-8", "pt_BR.UTF-8", "ru_RU.UTF-8", "tr_TR.UTF-8")


@dataclass(frozen=True)
class Variation:
    """One change to one run.

    Args:
        name: of the run's folder.
        factor: what `--only` selects.
        changed: one phrase for the tables.
        expectation: of the golden digest.
        environment: variables set in the child.
        settings: `key=value` pairs for `--set`; execution settings only.
        folder: working folder, below the study's own; the usual one where left out.
        prelude: Python statements before the command line runs in the same process; None starts it as a program.
        facts: recorded facts, at least one of which must differ from the golden run's; none where it cannot fail.
        against: name of the run whose digest is expected.
        unavailable: why it cannot be applied here; no run is made then.
    """

    name: str
    factor: str
    changed: str
    expectation: Expectation = "same"
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: tuple[str, ...] = ()
    folder: str | None = None
    prelude: str | None = None
    facts: tuple[str, ...] = ()
    against: str = GOLDEN
    unavailable: str | None = None


def repeats(n_runs: int) -> list[Variation]:
    """Return the golden run and its repeats: `n_runs` runs with nothing changed."""
    golden = Variation(GOLDEN, "repeat", "nothing: the golden run")
    return [golden, *(Variation(f"repeat-{number}", "repeat", "nothing") for number in range(1, n_runs))]


def variations(facts: Mapping[str, Any], scratch: Path, *, full: bool, only: Collection[str] = ()) -> list[Variation]:
    """Return the variations for a machine.

    Args:
        facts: `{"execution": ..., "env": ...}` as the golden run recorded them.
        scratch: an empty folder for what a variation needs, such as a locale.
        full: more values of each factor, all harmless changes at once, and a repeat under a changed machine.
        only: factors to vary; all where empty.
    """
    makers: dict[str, Callable[[], list[Variation]]] = {
        "hash-seed": lambda: [_hash_seed("12345"), *[_hash_seed("0")] * full],
        "locale": lambda: [_locale(scratch)],
        "time-zone": lambda: [_time_zone("<+14>-14"), *[_time_zone("<-12>+12")] * full],
        "folder": lambda: [_folder()],
        "threads": lambda: _threads(facts, full=full),
        "aten": lambda: _capabilities(facts),
        "mkl": lambda: _mkl(facts, full=full),
    }
    wanted = set(only or FACTORS)
    with_pairs = full and PAIRS in wanted
    made = {factor: make() for factor, make in makers.items() if factor in wanted or with_pairs}
    table = [variation for factor, found in made.items() if factor in wanted for variation in found]
    if with_pairs:
        table += [_all_at_once(made), *_repeats_under([made[factor] for factor in made if factor in wanted])]
    return table


def fact(facts: Mapping[str, Any], name: str) -> Any:
    """Return a recorded fact by its dotted name; None where it was not recorded."""
    value: Any = facts
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _hash_seed(seed: str) -> Variation:
    # As a program, samebits restarts itself under the recipe's own hash seed: inside another program it cannot.
    return Variation(
        f"hash-seed-{seed}",
        "hash-seed",
        f"PYTHONHASHSEED={seed}, inside another program",
        environment={"PYTHONHASHSEED": seed},
        prelude="pass",
        facts=("env.variables.PYTHONHASHSEED",),
    )


def _time_zone(zone: str) -> Variation:
    name = "time-zone" if zone.startswith("<+") else "time-zone-west"
    return Variation(name, "time-zone", f"TZ={zone}", environment={"TZ": zone}, facts=("env.time_zone.utc_offset_s",))


def _folder() -> Variation:
    return Variation("folder", "folder", "another working folder", folder="another folder, named otherwise")


def _locale(scratch: Path) -> Variation:
    """Return a locale with a decimal comma, switched on in the child's C library; else another one, said so."""
    environment = _comma_locale(scratch)
    changed = f"LC_ALL={environment['LC_ALL']}, decimal comma" if environment else "LC_ALL=C"
    return Variation(
        "locale",
        "locale",
        changed if environment else f"{changed} (no locale with a decimal comma here)",
        environment={"PYTHONHASHSEED": str(Settings.model_fields["seed"].default), **(environment or {"LC_ALL": "C"})},
        prelude="import locale; locale.setlocale(locale.LC_ALL, '')",
        facts=("env.locale.categories.LC_NUMERIC", "env.locale.categories.LC_CTYPE"),
    )


def _comma_locale(scratch: Path) -> dict[str, str] | None:
    kept = locale.setlocale(locale.LC_ALL)
    try:
        for name in COMMA_LOCALES:
            with contextlib.suppress(locale.Error):
                locale.setlocale(locale.LC_ALL, name)
                return {"LC_ALL": name}
    finally:
        locale.setlocale(locale.LC_ALL, kept)
    localedef = shutil.which("localedef")
    if localedef is None:
        return None
    made = scratch / "locale" / COMMA_LOCALES[0]
    made.parent.mkdir(parents=True, exist_ok=True)
    command = [localedef, "-i", "de_DE", "-f", "UTF-8", str(made)]
    subprocess.run(command, check=False, capture_output=True, timeout=60)
    return {"LC_ALL": made.name, "LOCPATH": str(made.parent)} if (made / "LC_NUMERIC").is_file() else None


def _threads(facts: Mapping[str, Any], *, full: bool) -> list[Variation]:
    golden = fact(facts, "execution.n_threads")
    counts = [1, 2, 3, 4, 8] if full else [1 if golden != 1 else 2]
    return [
        Variation(
            f"threads-{count}",
            "threads",
            f"{count} thread{'s' if count > 1 else ''} in place of {golden}",
            "may differ",
            settings=(f"threads={count}",),
            facts=MACHINE_FACTS,
        )
        for count in counts
        if count != golden
    ]


def _capabilities(facts: Mapping[str, Any]) -> list[Variation]:
    golden = str(fact(facts, "execution.isa")).lower()
    lower = CAPABILITIES[: CAPABILITIES.index(golden)] if golden in CAPABILITIES else CAPABILITIES[:1]
    if golden == CAPABILITIES[0]:
        reason = "torch runs its lowest capability here already"
        return [Variation("aten-default", "aten", "ATEN_CPU_CAPABILITY=default", "may differ", unavailable=reason)]
    return [
        Variation(
            f"aten-{level}",
            "aten",
            f"ATEN_CPU_CAPABILITY={level} in place of {golden}",
            "may differ",
            environment={"ATEN_CPU_CAPABILITY": level},
            facts=MACHINE_FACTS,
        )
        for level in lower
    ]


def _mkl(facts: Mapping[str, Any], *, full: bool) -> list[Variation]:
    knobs = [("MKL_ENABLE_INSTRUCTIONS", "SSE4_2"), ("MKL_CBWR", "COMPATIBLE")]
    if full:
        knobs += [("MKL_ENABLE_INSTRUCTIONS", "AVX2"), ("MKL_CBWR", "AVX2")]
    reason = "torch was built without MKL" if fact(facts, "env.torch.mkl") is None else None
    return [
        Variation(
            f"{name.lower().replace('_', '-')}-{value.lower().replace('_', '-')}",
            "mkl",
            f"{name}={value}",
            "may differ",
            environment={name: value},
            facts=MACHINE_FACTS,
            unavailable=reason,
        )
        for name, value in knobs
    ]


def _all_at_once(made: Mapping[str, list[Variation]]) -> Variation:
    environment: dict[str, str] = {}
    for factor in ("locale", "time-zone", "hash-seed"):
        environment.update(made[factor][0].environment)
    return Variation(
        "surroundings-at-once",
        PAIRS,
        "hash seed, locale, time zone and folder at once",
        environment=environment,
        folder=made["folder"][0].folder,
        prelude=made["locale"][0].prelude,
        facts=("env.time_zone.utc_offset_s",),
    )


def _repeats_under(made: Sequence[Sequence[Variation]]) -> list[Variation]:
    """Return one more run under the first change of each machine factor, expected to give that run's bits again."""
    machine = [[v for v in found if v.expectation == "may differ" and v.unavailable is None] for found in made]
    return [
        Variation(
            f"{variation.name}-again",
            PAIRS,
            f"{variation.changed}, once more",
            environment=variation.environment,
            settings=variation.settings,
            against=variation.name,
        )
        for variation, *_ in filter(None, machine)
    ]
