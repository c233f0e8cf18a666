"""Changes of what surrounds a training and must never reach its bits: hash seed, locale, time zone, folder."""

from __future__ import annotations

import contextlib
import locale
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from samebits.recipe.settings import STOCK, Settings
from samebits.study.variation import PAIRS, Variation, of_profile

COMMA_LOCALES = ("de_DE.UTF-8", "fr_FR.UTF-8", "es_ES.UTF-8", "pt_BR.UTF-8", "ru_RU.UTF-8", "tr_TR.UTF-8")
SURROUNDINGS = ("hash-seed", "locale", "time-zone", "folder")

Makers = Mapping[str, Callable[[], list[Variation]]]


def surroundings(profile: str, scratch: Path, *, full: bool) -> Makers:
    """Return what makes the variations of each factor.

    Args:
        profile: of the runs.
        scratch: a folder for what a variation needs, such as a locale.
        full: more values of each factor.
    """
    makers: Makers = {
        "hash-seed": lambda: [_hash_seed("12345", profile), *[_hash_seed("0", profile)] * full],
        "locale": lambda: [_locale(scratch, profile)],
        "time-zone": lambda: [_time_zone("<+14>-14"), *[_time_zone("<-12>+12")] * full],
        "folder": lambda: [_folder()],
    }
    return {factor: _of(make, profile) for factor, make in makers.items()}


def all_at_once(profile: str, scratch: Path) -> Variation:
    """Return every change of the surroundings in one run."""
    made = {factor: make()[0] for factor, make in surroundings(profile, scratch, full=False).items()}
    environment: dict[str, str] = {}
    for factor in ("locale", "time-zone", "hash-seed"):
        environment.update(made[factor].environment)
    together = Variation(
        "surroundings-at-once",
        PAIRS,
        "hash seed, locale, time zone and folder at once",
        environment=environment,
        folder=made["folder"].folder,
        prelude=made["locale"].prelude,
        facts=("env.time_zone.utc_offset_s",),
    )
    return of_profile(together, profile)


def _of(make: Callable[[], list[Variation]], profile: str) -> Callable[[], list[Variation]]:
    return lambda: [of_profile(variation, profile) for variation in make()]


def _hash_seed(seed: str, profile: str) -> Variation:
    # As a program, a stock run restarts itself under the recipe's own hash seed: inside another program it cannot.
    is_hosted = profile == STOCK
    return Variation(
        f"hash-seed-{seed}",
        "hash-seed",
        f"PYTHONHASHSEED={seed}{', inside another program' if is_hosted else ''}",
        environment={"PYTHONHASHSEED": seed},
        prelude="pass" if is_hosted else None,
        facts=("env.variables.PYTHONHASHSEED",),
    )


def _time_zone(zone: str) -> Variation:
    name = "time-zone" if zone.startswith("<+") else "time-zone-west"
    return Variation(name, "time-zone", f"TZ={zone}", environment={"TZ": zone}, facts=("env.time_zone.utc_offset_s",))


def _folder() -> Variation:
    return Variation("folder", "folder", "another working folder", folder="another folder, named otherwise")


def _locale(scratch: Path, profile: str) -> Variation:
    """Return a locale with a decimal comma, switched on in the child's C library; else another one, said so."""
    environment = _comma_locale(scratch)
    changed = f"LC_ALL={environment['LC_ALL']}, decimal comma" if environment else "LC_ALL=C"
    # Inside another program a stock run does not set its hash seed, and the locale alone is to change.
    kept = {"PYTHONHASHSEED": str(Settings.model_fields["seed"].default)} if profile == STOCK else {}
    return Variation(
        "locale",
        "locale",
        changed if environment else f"{changed} (no locale with a decimal comma here)",
        environment={**kept, **(environment or {"LC_ALL": "C"})},
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
    made = scratch / "locale" / COMMA_LOCALES[0]
    localedef = shutil.which("localedef")
    if localedef is not None and not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        command = [localedef, "-i", "de_DE", "-f", "UTF-8", str(made)]
        subprocess.run(command, check=False, capture_output=True, timeout=60)
    return {"LC_ALL": made.name, "LOCPATH": str(made.parent)} if (made / "LC_NUMERIC").is_file() else None
