"""Changes of what surrounds a training and must never reach its bits: hash seed, locale, time zone, folder."""

from __future__ import annotations

import contextlib
import locale
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from samebits.recipe.settings import STOCK
from samebits.study.variation import Variation, combine, of_profile

COMMA_LOCALES = ("de_DE.UTF-8", "fr_FR.UTF-8", "es_ES.UTF-8", "pt_BR.UTF-8", "ru_RU.UTF-8", "tr_TR.UTF-8")
FOLDER_FACT = "training.process.working_folder_sha256"
LONG_PATH_BYTES = 1000
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
        "locale": lambda: [_locale(scratch)],
        "time-zone": lambda: [_time_zone("<+14>-14"), *[_time_zone("<-12>+12")] * full],
        "folder": lambda: [_folder(), *[_long_folder()] * full],
    }
    return {factor: _of(make, profile) for factor, make in makers.items()}


def all_at_once(profile: str, scratch: Path) -> Variation:
    """Return every change of the surroundings in one run."""
    parts = [make()[0] for make in surroundings(profile, scratch, full=False).values()]
    changed = "hash seed, locale, time zone and folder at once"
    return of_profile(combine("surroundings-at-once", parts, changed=changed), profile)


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
    return Variation(
        "folder", "folder", "another working folder", folder="another folder, named otherwise", facts=(FOLDER_FACT,)
    )


def _long_folder() -> Variation:
    reason = "Windows takes no path of that length" if os.name == "nt" else None
    return Variation(
        "folder-long",
        "folder",
        f"a working folder with a path of more than {LONG_PATH_BYTES} bytes",
        folder="/".join(["a long name" * 20] * (LONG_PATH_BYTES // 220 + 1)),
        facts=(FOLDER_FACT,),
        unavailable=reason,
    )


def _locale(scratch: Path) -> Variation:
    """Return a locale with a decimal comma, switched on in the child's C library; else another one, said so."""
    environment = _comma_locale(scratch)
    changed = f"LC_ALL={environment['LC_ALL']}, decimal comma" if environment else "LC_ALL=C"
    return Variation(
        "locale",
        "locale",
        changed if environment else f"{changed} (no locale with a decimal comma here)",
        environment=environment or {"LC_ALL": "C"},
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
