"""What a process was given by whoever started it, and what its own libraries make of it: nothing of it may reach bits.

Paths and names stand here as digests: a run folder is published, a home is not.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any

from samebits.canonical.digests import sha256_bytes
from samebits.record.processor import ROOT, read_text

PACKAGE = Path(__file__).parents[1]
_NO_RANDOMISATION = 0x0040000
# Small blocks come from a cache of freed ones, which glibc does not fill.
_BLOCK_BYTES = 1 << 14


def process_facts(root: Path = ROOT) -> dict[str, Any]:
    """Return the facts of this process, as JSON; what a system does not tell is None.

    `clock_offset_h` is the clock that this process sees minus that of the kernel, in hours; `fresh_memory` the byte
    with which the C library fills what it hands out; `preloaded` the libraries of LD_PRELOAD that were loaded;
    `listing_sha256` the order in which the package's own folder is listed.

    Args:
        root: where `proc` lies.
    """
    folder = _working_folder()
    return {
        "user_id": os.getuid() if hasattr(os, "getuid") else None,
        "home_sha256": _digest(str(Path("~").expanduser())),
        "working_folder_bytes": None if folder is None else len(os.fsencode(folder)),
        "working_folder_sha256": None if folder is None else _digest(folder),
        "umask": _status(root, "Umask"),
        "allowed_cores": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "address_randomisation": _address_randomisation(root),
        "python_allocator": "pymalloc" if sys.getallocatedblocks() else "malloc",
        "fresh_memory": _fresh_memory(),
        "preloaded": _preloaded(root),
        "clock_offset_h": _clock_offset_h(root),
        "listing_sha256": _digest("\n".join(os.listdir(PACKAGE))),  # noqa: PTH208 (in the order of the system)
    }


def _digest(text: str) -> str:
    return sha256_bytes(os.fsencode(text))


def _working_folder() -> str | None:
    try:
        return str(Path.cwd())
    except OSError:
        # Somebody removed it.
        return None


def _status(root: Path, name: str) -> str | None:
    lines = (read_text(root / "proc/self/status") or "").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:")), None)


def _address_randomisation(root: Path) -> bool | None:
    level = read_text(root / "proc/sys/kernel/randomize_va_space")
    personality = read_text(root / "proc/self/personality")
    if level is None or personality is None:
        return None
    return level != "0" and not int(personality, 16) & _NO_RANDOMISATION


def _fresh_memory() -> str | None:
    """Return the byte with which the C library fills what it hands out; None where it does not fill it."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    library.free.restype, library.free.argtypes = None, (ctypes.c_void_p,)
    block = library.malloc(_BLOCK_BYTES)
    if not block:
        return None
    found = set(ctypes.string_at(block, _BLOCK_BYTES))
    library.free(block)
    return f"{found.pop():02x}" if len(found) == 1 and found != {0} else None


def _preloaded(root: Path) -> list[str]:
    names = [Path(entry).name for entry in os.environ.get("LD_PRELOAD", "").replace(":", " ").split()]
    maps = read_text(root / "proc/self/maps") or ""
    mapped = {Path(line.split(maxsplit=5)[-1]).name for line in maps.splitlines()}
    # A short name is a link to the file that is mapped: `libjemalloc.so.2` to `libjemalloc.so.2.0.1`.
    return [name for name in names if any(found.startswith(name) for found in mapped)]


def _clock_offset_h(root: Path) -> int | None:
    booted = [line for line in (read_text(root / "proc/stat") or "").splitlines() if line.startswith("btime ")]
    uptime = (read_text(root / "proc/uptime") or "").split()
    if not booted or not uptime:
        return None
    return round((time.time() - int(booted[0].split()[1]) - float(uptime[0])) / 3600)
