"""How the work is cut up on this machine, and what it took: threads, time and memory."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from samebits.errors import UsageError
from samebits.record.process import process_facts
from samebits.record.processor import ROOT, read_text

MAX_THREADS = 1024
"""Threads of one process; OpenMP crashes where the system does not give it as many as it was told."""


def default_threads() -> int:
    """Return OMP_NUM_THREADS where it is set, else the number of cores this process may use.

    Raises:
        UsageError: OMP_NUM_THREADS is not a number from 1 to MAX_THREADS.
    """
    text = os.environ.get("OMP_NUM_THREADS")
    if text is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # OpenMP takes a list, one number for each nesting level; ours is the first.
    first = text.partition(",")[0].strip()
    # Python refuses to read a number of very many digits.
    if not first.isdecimal() or len(first) > 100 or not 1 <= int(first) <= MAX_THREADS:
        raise UsageError(
            f"OMP_NUM_THREADS must be a number from 1 to {MAX_THREADS}", got=repr(text[:100]), remedy="set it anew"
        )
    return int(first)


class Stopwatch:
    """Times the parts of a run, from its making on."""

    def __init__(self) -> None:
        self._started_at, self._last_s = datetime.now(UTC), time.perf_counter()
        self._first_s, self._timings_s = self._last_s, dict[str, float]()

    def lap(self, name: str) -> None:
        """Note the seconds since the last lap under a name that ends in `_s`."""
        now_s = time.perf_counter()
        self._timings_s[name], self._last_s = round(now_s - self._last_s, 3), now_s

    def metadata(self, *, resumed_from: Sequence[int]) -> dict[str, Any]:
        """Return `observed/training_metadata.json`; the timings are those of this process alone.

        Args:
            resumed_from: steps after which a killed run went on.
        """
        return {
            "started_at": self._started_at.isoformat(timespec="seconds"),
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "host": platform.node(),
            "command": list(sys.orig_argv),
            "timings_s": {**self._timings_s, "total_s": round(time.perf_counter() - self._first_s, 3)},
            "peak_memory_bytes": peak_memory_bytes(),
            "resumed_from": list(resumed_from),
            "process": process_facts(),
        }


def peak_memory_bytes() -> int | None:
    """Return the most memory that this process has held; None where the system does not tell."""
    # Linux's `getrusage` counts what the program that started this one held, too; its own figure begins anew.
    if found := re.search(r"VmHWM:\s*(\d+) kB", read_text(ROOT / "proc/self/status") or ""):
        return int(found[1]) * 1024
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, others kibibytes.
    return peak if sys.platform == "darwin" else peak * 1024
