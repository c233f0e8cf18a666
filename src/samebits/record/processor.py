"""Facts of the processor: its model, flags, caches and cores, and what a container leaves of them.

Linux tells by files, macOS by `sysctl`, Windows by its registry; what a system does not tell is None.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path("/")
SYSCTL = "/usr/sbin/sysctl"
SYSCTL_LIMIT_S = 5

_SIZE_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
# cgroup v1 says "no limit" with a number near 2**63; no machine has this much memory, and JSON keeps it exactly.
_NO_LIMIT_FROM_BYTES = 1 << 53


def processor_facts(root: Path = ROOT) -> dict[str, Any]:
    """Return model, flags, caches, cores seen and cores allowed.

    Args:
        root: where `proc` and `sys` lie.
    """
    if sys.platform == "darwin":
        described = _described_by_sysctl(_ask_sysctl())
    elif sys.platform == "win32":
        described = _described_by_registry()
    else:
        described = _described_by_files(root)
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return {
        "architecture": platform.machine() or None,
        **described,
        "n_cores_seen": os.cpu_count(),
        "n_cores_allowed": None if allowed is None else len(allowed),
        "cores_allowed": allowed,
    }


def cgroup_limits(root: Path = ROOT) -> dict[str, Any]:
    """Return the processor quota and memory limit of this process's control group, the tightest of its ancestors'.

    `quota_us` of every `period_us` may be used, summed over cores; None where nothing limits it or nobody says.
    """
    v1, v2 = _cgroup_folders(root)
    quotas = [_quota_v2(folder) for folder in v2.get("", [])] + [_quota_v1(folder) for folder in v1.get("cpu", [])]
    memory = [_number(folder / "memory.max") for folder in v2.get("", [])]
    memory += [_number(folder / "memory.limit_in_bytes") for folder in v1.get("memory", [])]
    quota_us, period_us = min((q for q in quotas if q), key=lambda pair: pair[0] / pair[1], default=(None, None))
    limits = [limit for limit in memory if limit is not None and limit < _NO_LIMIT_FROM_BYTES]
    return {"quota_us": quota_us, "period_us": period_us, "memory_bytes": min(limits, default=None)}


def read_text(path: Path) -> str | None:
    """Return a small system file's text, stripped; None where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _described_by_files(root: Path) -> dict[str, Any]:
    blocks = [_fields(block) for block in (read_text(root / "proc/cpuinfo") or "").split("\n\n")]
    first = blocks[0]
    flags = first.get("flags") or first.get("Features") or first.get("isa")
    # A core's number is its package's own: the pair tells cores apart.
    cores = {(block["physical id"], block["core id"]) for block in blocks if {"physical id", "core id"} <= block.keys()}
    return {
        "vendor": first.get("vendor_id") or first.get("CPU implementer"),
        "name": first.get("model name") or first.get("Hardware") or platform.processor() or None,
        "family": first.get("cpu family") or first.get("CPU architecture"),
        "model": first.get("model") or first.get("CPU part"),
        "stepping": first.get("stepping") or first.get("CPU revision"),
        "microcode": first.get("microcode"),
        "flags": sorted(set(flags.split())) if flags else None,
        "caches": _caches(root),
        "n_cores_physical": len(cores) or None,
    }


def _fields(block: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in block.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon and value.strip()}


def _caches(root: Path) -> list[dict[str, Any]] | None:
    caches = []
    for folder in sorted(root.glob("sys/devices/system/cpu/cpu0/cache/index*")):
        size = re.fullmatch(r"([0-9]+)([KMG]?)", read_text(folder / "size") or "")
        caches.append(
            {
                "level": _number(folder / "level"),
                "type": read_text(folder / "type"),
                "size_bytes": int(size[1]) * _SIZE_UNITS[size[2]] if size else None,
                "line_bytes": _number(folder / "coherency_line_size"),
                "n_ways": _number(folder / "ways_of_associativity"),
            }
        )
    return caches or None


def _ask_sysctl() -> dict[str, str]:
    try:
        answer = subprocess.run(
            [SYSCTL, "machdep.cpu", "hw"], capture_output=True, text=True, timeout=SYSCTL_LIMIT_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return _fields(answer.stdout)


def _described_by_sysctl(answer: Mapping[str, str]) -> dict[str, Any]:
    named = f"{answer.get('machdep.cpu.features', '')} {answer.get('machdep.cpu.leaf7_features', '')}".split()
    optional = [key.removeprefix("hw.optional.") for key, value in answer.items() if key.startswith("hw.optional.")]
    flags = [flag.lower() for flag in named] or [flag for flag in optional if answer[f"hw.optional.{flag}"] == "1"]
    sizes = ((1, "Data", "hw.l1dcachesize"), (1, "Instruction", "hw.l1icachesize"), (2, "Unified", "hw.l2cachesize"))
    caches = [
        {"level": level, "type": kind, "size_bytes": int(answer[key]), "line_bytes": None, "n_ways": None}
        for level, kind, key in sizes
        if answer.get(key, "").isdecimal()
    ]
    cores = answer.get("hw.physicalcpu", "")
    return {
        "vendor": answer.get("machdep.cpu.vendor"),
        "name": answer.get("machdep.cpu.brand_string"),
        "family": answer.get("machdep.cpu.family"),
        "model": answer.get("machdep.cpu.model"),
        "stepping": answer.get("machdep.cpu.stepping"),
        "microcode": answer.get("machdep.cpu.microcode_version"),
        "flags": sorted(set(flags)) or None,
        "caches": caches or None,
        "n_cores_physical": int(cores) if cores.isdecimal() else None,
    }


def _described_by_registry() -> dict[str, Any]:
    found: dict[str, str | None] = {"ProcessorNameString": None, "VendorIdentifier": None, "Identifier": None}
    if sys.platform == "win32":
        import winreg

        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0") as key:
                found = {name: str(winreg.QueryValueEx(key, name)[0]).strip() for name in found}
        except OSError:
            # A registry that does not answer leaves the facts unknown.
            pass
    identifier = re.search(r"Family (\d+) Model (\d+) Stepping (\d+)", found["Identifier"] or "")
    family, model, stepping = identifier.groups() if identifier else (None, None, None)
    return {
        "vendor": found["VendorIdentifier"],
        "name": found["ProcessorNameString"] or platform.processor() or None,
        "family": family,
        "model": model,
        "stepping": stepping,
        "microcode": None,
        "flags": None,
        "caches": None,
        "n_cores_physical": None,
    }


def _cgroup_folders(root: Path) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Return, per controller, the folders of this process's group and its ancestors: cgroup v1, then v2 under ""."""
    v1: dict[str, list[Path]] = {}
    v2: dict[str, list[Path]] = {}
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            mount = root / "sys/fs/cgroup" / controllers
            if not controllers and (mount / "unified").is_dir():
                mount /= "unified"
            elif controllers and not mount.is_dir():
                mount = root / "sys/fs/cgroup" / controller
            parts = [part for part in path.split("/") if part not in ("", "..")]
            (v1 if controllers else v2)[controller] = [
                mount.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)
            ]
    return v1, v2


def _quota_v2(folder: Path) -> tuple[int, int] | None:
    words = (read_text(folder / "cpu.max") or "").split()
    if len(words) != 2 or not all(word.isdecimal() for word in words) or words[1] == "0":
        return None
    return int(words[0]), int(words[1])


def _quota_v1(folder: Path) -> tuple[int, int] | None:
    quota_us, period_us = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return (quota_us, period_us) if quota_us and period_us else None


def _number(path: Path) -> int | None:
    text = read_text(path) or ""
    return int(text) if text.isdecimal() else None
