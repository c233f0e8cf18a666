"""The environment fingerprint: everything about a machine and its Python that may explain a difference in bits.

No host name, no user name, no path of a home, no secret. A fact that a system does not tell is None, never an error.
"""

from __future__ import annotations

import locale
import os
import platform
import sys
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samebits.errors import RecordError
from samebits.record.distributions import installed_distributions
from samebits.record.layout import RECORD_VERSION
from samebits.record.processor import ROOT, cgroup_limits, processor_facts, read_text
from samebits.record.variables import allowed_variables, without_secrets

_LOCALE_CATEGORIES = ("LC_COLLATE", "LC_CTYPE", "LC_MESSAGES", "LC_MONETARY", "LC_NUMERIC", "LC_TIME")
_CONTAINER_FILES = (".dockerenv", "run/.containerenv")
_CONTAINER_WORDS = ("docker", "kubepods", "containerd", "libpod", "lxc", "buildkit")


def fingerprint(facts: Mapping[str, Any] | None = None, *, root: Path = ROOT) -> dict[str, Any]:
    """Return the facts of this machine and this Python, as JSON.

    Args:
        facts: what other parts know of themselves, by part: `{"torch": {...}}`.
        root: where `proc`, `sys` and `run` lie.
    Raises:
        RecordError: a part's name is that of a group of facts told here.
    """
    document: dict[str, Any] = {
        "record_version": RECORD_VERSION,
        "cpu": processor_facts(root),
        "cgroup": cgroup_limits(root),
        "memory_bytes": _memory_bytes(),
        "container": container_facts(root),
        "system": _system(),
        "locale": _locale(),
        "time_zone": _time_zone(root),
        "python": _python(),
        "distributions": installed_distributions(),
        "variables": allowed_variables(),
    }
    if taken := document.keys() & (facts or {}).keys():
        raise RecordError("a part's facts must have a name of their own", got=f"`{min(taken)}`")
    document["torch"] = None
    document.update(without_secrets(dict(facts or {})))
    return document


def compare_fingerprints(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return a row (field, value in `a`, value in `b`) for every field that differs, sorted; None is "not told".

    Lists of texts (processor flags) are told by what only one side has, distributions one by one.
    """
    left, right = dict(_rows(a, "")), dict(_rows(b, ""))
    rows = []
    for field in sorted(left.keys() | right.keys()):
        one, other = left.get(field), right.get(field)
        if one != other:
            rows.append((field, *_only_on_one_side(one, other)))
    return rows


def _rows(value: Any, field: str) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [row for key in value for row in _rows(value[key], f"{field}.{key}" if field else str(key))]
    if isinstance(value, list) and value and all(isinstance(item, Mapping) and "name" in item for item in value):
        return [
            row
            for item in value
            for key in item
            if key != "name"
            for row in _rows(item[key], f"{field}.{item['name']}.{key}")
        ]
    return [(field, value)]


def _only_on_one_side(one: Any, other: Any) -> tuple[Any, Any]:
    texts = all(
        isinstance(side, list) and side and all(isinstance(item, str) for item in side) for side in (one, other)
    )
    if not texts or set(one) == set(other):
        return one, other
    return [item for item in one if item not in other], [item for item in other if item not in one]


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def container_facts(root: Path) -> dict[str, Any]:
    """Return whether a container was seen, and by what; null where this system does not tell."""
    if sys.platform != "linux":
        return {"detected": None, "evidence": []}
    evidence = [f"/{name}" for name in _CONTAINER_FILES if (root / name).exists()]
    groups = (read_text(root / "proc/1/cgroup") or "") + (read_text(root / "proc/self/cgroup") or "")
    evidence += [f"{word} in /proc/*/cgroup" for word in _CONTAINER_WORDS if word in groups]
    if os.environ.get("container"):  # noqa: SIM112 (podman and systemd-nspawn write it in lower case)
        evidence.append("the variable `container`")
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        evidence.append("the variable `KUBERNETES_SERVICE_HOST`")
    return {"detected": bool(evidence), "evidence": evidence}


def _system() -> dict[str, Any]:
    try:
        distribution = platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        distribution = None
    libc = " ".join(platform.libc_ver()).strip()
    return {
        "name": platform.system() or None,
        "kernel_release": platform.release() or None,
        "kernel_version": platform.version() or None,
        "distribution": distribution,
        "libc": libc or None,
        "byte_order": sys.byteorder,
    }


def _locale() -> dict[str, Any]:
    categories = {}
    for name in _LOCALE_CATEGORIES:
        category = getattr(locale, name, None)
        categories[name] = None if category is None else locale.setlocale(category, None)
    return {
        "categories": categories,
        "preferred_encoding": locale.getpreferredencoding(False),
        "file_system_encoding": sys.getfilesystemencoding(),
    }


def _time_zone(root: Path) -> dict[str, Any]:
    try:
        _, _, zone = str((root / "etc/localtime").readlink()).partition("zoneinfo/")
    except OSError:
        zone = ""
    return {"names": list(time.tzname), "utc_offset_s": -time.timezone, "zone": zone or None}


def _python() -> dict[str, Any]:
    return {
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "build": " ".join(platform.python_build()),
        "compiler": platform.python_compiler(),
        "platform": sysconfig.get_platform(),
        "pointer_bits": 64 if sys.maxsize > 2**32 else 32,
        "in_virtual_environment": sys.prefix != sys.base_prefix,
        "flags": {
            name: int(getattr(sys.flags, name))
            for name in ("hash_randomization", "optimize", "utf8_mode", "isolated", "dev_mode", "no_site")
        },
    }
