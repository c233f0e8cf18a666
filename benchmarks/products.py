"""Matrix products (N-04) beside torch's: bits first, then interleaved pairs in one process.

    python benchmarks/products.py [--threads 1 2] [--only linear plain thin] [--cpu-time]

Each row: the median of torch's time over ours, and its quartiles; operations per second of both; our part of the fma
peak that benchmarks/peak.cpp reaches in registers. --cpu-time takes the calling thread's processor time instead of the
clock's: for one thread on a machine that does other work.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from samebits.numerics import build, library, products
from samebits.numerics.arrays import F32, empty_by_lines
from samebits.numerics.library import Library

HERE = Path(__file__).resolve().parent
SAMPLE_ROWS = 5
LEAST_SAMPLE_S = 3e-3
WEIGHTS = [(1024, 3072), (1024, 1024), (1024, 4096), (4096, 1024)]


@dataclass(frozen=True)
class Case:
    """One row: `ours` and `theirs` do the same work of `n_operations`; `check` compares bits and raises."""

    name: str
    n_operations: int
    ours: Callable[[], object]
    theirs: Callable[[], object]
    check: Callable[[], None]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="+", choices=sorted(GROUPS), default=list(GROUPS))
    parser.add_argument("--cpu-time", action="store_true")
    arguments = parser.parse_args()
    clock = time.thread_time if arguments.cpu_time else time.perf_counter
    isa, peak = library.loaded().isa, measured_peak(clock)
    print(f"{isa}; fma peak of one core {peak / 1e9:.0f} GF/s; torch {torch.__version__}")
    for n_threads in arguments.threads:
        library.set_threads(n_threads)
        torch.set_num_threads(n_threads)
        for group in arguments.only:
            for case in GROUPS[group]():
                case.check()
                report(case, n_threads, peak * n_threads, clock)


def report(case: Case, n_threads: int, peak: float, clock: Callable[[], float]) -> None:
    """Time one case in pairs and print its row."""
    ours, theirs = time_pairs(case.ours, case.theirs, clock)
    low, middle, high = statistics.quantiles([b / a for a, b in zip(ours, theirs, strict=True)], n=4)
    rates = [case.n_operations / statistics.median(times) for times in (ours, theirs)]
    print(
        f"{n_threads} thread(s)  {case.name:34} ratio {middle:5.2f} [{low:.2f}, {high:.2f}]  "
        f"ours {rates[0] / 1e9:4.0f} GF/s ({rates[0] / peak:.2f} of peak)  torch {rates[1] / 1e9:4.0f}",
        flush=True,
    )


def time_pairs(
    ours: Callable[[], object], theirs: Callable[[], object], clock: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Return seconds per call of both, measured in turn."""
    ours(), theirs()
    start = clock()
    ours()
    n_calls = max(1, int(LEAST_SAMPLE_S / max(clock() - start, 1e-7)))
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(15):
        for kept, call in zip(times, (ours, theirs), strict=True):
            start = clock()
            for _ in range(n_calls):
                call()
            kept.append((clock() - start) / n_calls)
    return times


def measured_peak(clock: Callable[[], float]) -> float:
    """Return fma operations per second of one core, two per fma, out of registers."""
    isa = library.loaded().isa
    with tempfile.TemporaryDirectory() as folder:
        flags = [f"-I{build.NATIVE}"]
        path = build.build(native=HERE, folder=Path(folder), isas=[isa], sources=["peak.cpp"], extra_flags=flags)[isa]
        functions = build_peak(path)
        sink = np.array([0.5, 0.5, 0], dtype=np.float32)
        best = 0.0
        for _ in range(20):
            start = clock()
            n_operations = functions(2_000_000, sink.ctypes.data)
            best = max(best, n_operations / (clock() - start))
    return best


def build_peak(path: Path) -> Callable[[int, int], int]:
    """Return the peak's function."""
    import ctypes

    function = ctypes.CDLL(str(path)).sb_peak
    function.argtypes, function.restype = [ctypes.c_int64, ctypes.c_void_p], ctypes.c_int64
    return function


def matrix(*shape: int, seed: int = 0) -> F32:
    """Return normal numbers that start on a cache line."""
    array = empty_by_lines(int(np.prod(shape))).reshape(shape)
    array[...] = np.random.default_rng([seed, *shape]).standard_normal(shape)
    return array


def against_baseline(actual: F32, a: F32, b: F32, onto: F32 | None = None) -> Callable[[], None]:
    """Return a check of the first rows against the plainest library's plain product, bit by bit."""

    def check() -> None:
        rows = slice(0, SAMPLE_ROWS)
        with library.using(baseline()):
            out = None if onto is None else onto[rows].copy()
            expected = products.mm(a[rows], b, out=out, accumulate=onto is not None)
        if actual[rows].tobytes() != expected.tobytes():
            sys.exit("error: bits differ; nothing was timed")

    return check


def baseline() -> Library:
    """Return the plainest library, loaded once."""
    if not _BASELINE:
        _BASELINE.append(library.open_library(library.runnable_isas()[0]))
    return _BASELINE[0]


_BASELINE: list[Library] = []


def linear_cases() -> Iterator[Case]:
    """Frozen weights, packed once."""
    for k, n in WEIGHTS:
        weight, theirs_weight = matrix(n, k), torch.from_numpy(matrix(n, k))
        packed = products.pack(weight, layout="nk")
        for m in (1, 16, 128, 512, 2048):
            x, out = matrix(m, k, seed=1), matrix(m, n)
            tx, tout = torch.from_numpy(x), torch.from_numpy(matrix(m, n))
            yield Case(
                f"linear K={k} N={n} M={m}",
                2 * m * n * k,
                lambda x=x, packed=packed, out=out: products.linear(x, packed, out=out),
                lambda tx=tx, w=theirs_weight, tout=tout: torch.mm(tx, w.t(), out=tout),
                against_baseline(products.linear(x, packed), x, weight.T),
            )


def plain_cases() -> Iterator[Case]:
    """Two plain arrays: as in dX = dY W without a packed weight."""
    for k, n in ((1024, 1024), (3072, 1024)):
        for m in (16, 128, 512, 2048):
            a, b = matrix(m, k, seed=1), matrix(k, n)
            yield case_of(f"plain K={k} N={n} M={m}", a, b)


def thin_cases() -> Iterator[Case]:
    """LoRA's products: T tokens, rank R, width K in and N out."""
    k, n = 1024, 3072
    for t in (64, 333, 1024):
        for r in (8, 16, 32):
            x, dy, h, dh = (matrix(t, width, seed=2) for width in (k, n, r, r))
            lora_a, lora_b = matrix(r, k, seed=3), matrix(n, r, seed=3)
            yield case_of(f"thin T={t} R={r} H = X A^T", x, lora_a.T)
            yield case_of(f"thin T={t} R={r} Y += H B^T", h, lora_b.T, onto=matrix(t, n))
            yield case_of(f"thin T={t} R={r} dH = dY B", dy, lora_b)
            yield case_of(f"thin T={t} R={r} dA = dH^T X", dh.T, x)
            yield case_of(f"thin T={t} R={r} dB = dY^T H", dy.T, h)
            yield case_of(f"thin T={t} R={r} dX += dH A", dh, lora_a, onto=matrix(t, k))


def case_of(name: str, a: F32, b: F32, onto: F32 | None = None) -> Case:
    """Return the case of one plain product, added to `onto` where it is given."""
    shape = (a.shape[0], b.shape[1])
    out = matrix(*shape)
    ta, tb, tout = torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(matrix(*shape))
    start = None if onto is None else onto.copy()
    return Case(
        name,
        2 * a.shape[0] * a.shape[1] * b.shape[1],
        lambda: products.mm(a, b, out=out, accumulate=onto is not None),
        (lambda: torch.mm(ta, tb, out=tout)) if onto is None else (lambda: tout.addmm_(ta, tb)),
        against_baseline(products.mm(a, b, out=start, accumulate=onto is not None), a, b, onto),
    )


GROUPS = {"linear": linear_cases, "plain": plain_cases, "thin": thin_cases}


if __name__ == "__main__":
    main()
