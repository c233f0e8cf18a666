"""Time our kernels beside torch's: bits first, then interleaved pairs in one process.

    python benchmarks/<family>.py [--threads 1 2] [--only GROUP ...] [--pairs 15] [--cpu-time] [--json]

Each row: the median of torch's time over ours, and its quartiles; operations per second of both; our part of the fma
peak that benchmarks/peak.cpp reaches in registers. --cpu-time takes the calling thread's processor time instead of the
clock's: for one thread on a machine that does other work. --json prints one object per row.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from samebits.numerics import build, library
from samebits.numerics.arrays import F32, empty_by_lines
from samebits.numerics.library import Library

HERE = Path(__file__).resolve().parent
N_PAIRS = 15


@dataclass(frozen=True)
class Manner:
    """Seconds before a sample with nothing running, then of calls untimed, then of calls timed.

    With several threads those of the side before are let go to sleep first: OpenMP's look for work for 16 ms. A thread
    that wakes may find itself on its caller's core until the system spreads them, which takes some milliseconds.
    """

    rest_s: float
    warm_up_s: float
    least_sample_s: float


ALONE, TOGETHER = Manner(0.0, 2e-3, 4e-3), Manner(0.03, 15e-3, 8e-3)
Clock = Callable[[], float]


@dataclass(frozen=True)
class Case:
    """One row: `ours` and `theirs` do the same work of `n_operations`; `check` compares bits and raises."""

    name: str
    n_operations: int
    ours: Callable[[], object]
    theirs: Callable[[], object]
    check: Callable[[], None]


@dataclass(frozen=True)
class Row:
    """What was measured of one case: seconds of one call of each, and the quartiles of theirs over ours."""

    name: str
    n_threads: int
    ours_s: float
    theirs_s: float
    ratio_quartiles: tuple[float, float, float]
    n_operations: int
    part_of_peak: float


def run(groups: Mapping[str, Callable[[], Iterable[Case]]]) -> None:
    """Parse the command line and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="+", choices=sorted(groups), default=list(groups))
    parser.add_argument("--pairs", type=int, default=N_PAIRS)
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    clock = time.thread_time if arguments.cpu_time else time.perf_counter
    isa, peak = library.loaded().isa, measured_peak(clock)
    head = {"isa": isa, "peak_per_s": peak, "torch": torch.__version__}
    text = f"{isa}; fma peak of one core {peak / 1e9:.0f} GF/s; torch {torch.__version__}"
    print(json.dumps(head) if arguments.json else text, flush=True)
    for n_threads in arguments.threads:
        library.set_threads(n_threads)
        torch.set_num_threads(n_threads)
        for group in arguments.only:
            for case in groups[group]():
                case.check()
                row = measure(case, n_threads, peak * n_threads, clock, arguments.pairs)
                print(json.dumps(asdict(row)) if arguments.json else line(row), flush=True)


def measure(case: Case, n_threads: int, peak: float, clock: Clock, n_pairs: int) -> Row:
    """Time one case in pairs."""
    manner = ALONE if n_threads == 1 else TOGETHER
    ours, theirs = time_pairs(case.ours, case.theirs, clock, n_pairs, manner)
    low, middle, high = statistics.quantiles([b / a for a, b in zip(ours, theirs, strict=True)], n=4)
    ours_s, theirs_s = statistics.median(ours), statistics.median(theirs)
    part_of_peak = case.n_operations / ours_s / peak
    return Row(case.name, n_threads, ours_s, theirs_s, (low, middle, high), case.n_operations, part_of_peak)


def line(row: Row) -> str:
    """Return a row as text."""
    low, middle, high = row.ratio_quartiles
    return (
        f"{row.n_threads} thread(s)  {row.name:34} ratio {middle:5.2f} [{low:.2f}, {high:.2f}]  "
        f"ours {row.n_operations / row.ours_s / 1e9:6.1f} GF/s ({row.part_of_peak:.2f} of peak)  "
        f"torch {row.n_operations / row.theirs_s / 1e9:6.1f}"
    )


def time_pairs(
    ours: Callable[[], object], theirs: Callable[[], object], clock: Clock, n_pairs: int, manner: Manner
) -> tuple[list[float], list[float]]:
    """Return seconds per call of both, measured in turn."""
    theirs()
    warm_up(ours, manner.warm_up_s)
    start = clock()
    ours()
    n_calls = max(1, int(manner.least_sample_s / max(clock() - start, 1e-7)))
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(n_pairs):
        for kept, call in zip(times, (ours, theirs), strict=True):
            time.sleep(manner.rest_s)
            warm_up(call, manner.warm_up_s)
            start = clock()
            for _ in range(n_calls):
                call()
            kept.append((clock() - start) / n_calls)
    return times


def warm_up(call: Callable[[], object], seconds: float) -> None:
    """Call for some time, at least once."""
    until = time.perf_counter() + seconds
    call()
    while time.perf_counter() < until:
        call()


def measured_peak(clock: Clock) -> float:
    """Return fma operations per second of one core, two per fma, out of registers."""
    isa = library.loaded().isa
    with tempfile.TemporaryDirectory() as folder:
        flags = [f"-I{build.NATIVE}"]
        path = build.build(native=HERE, folder=Path(folder), isas=[isa], sources=["peak.cpp"], extra_flags=flags)[isa]
        function = ctypes.CDLL(str(path)).sb_peak
        function.argtypes, function.restype = [ctypes.c_int64, ctypes.c_void_p], ctypes.c_int64
        sink = np.array([0.5, 0.5, 0], dtype=np.float32)
        best = 0.0
        for _ in range(20):
            start = clock()
            n_operations = function(2_000_000, sink.ctypes.data)
            best = max(best, n_operations / (clock() - start))
    return best


def matrix(*shape: int, seed: int = 0) -> F32:
    """Return normal numbers that start on a cache line."""
    array = empty_by_lines(int(np.prod(shape))).reshape(shape)
    array[...] = np.random.default_rng([seed, *shape]).standard_normal(shape)
    return array


def same_as_baseline(actual: F32, compute: Callable[[], F32]) -> Callable[[], None]:
    """Return a check of `actual` against what the plainest library computes, bit by bit."""

    def check() -> None:
        with library.using(baseline()):
            expected = compute()
        if actual.tobytes() != expected.tobytes():
            sys.exit("error: bits differ; nothing was timed")

    return check


def baseline() -> Library:
    """Return the plainest library, loaded once."""
    if not _BASELINE:
        _BASELINE.append(library.open_library(library.runnable_isas()[0]))
    return _BASELINE[0]


_BASELINE: list[Library] = []
