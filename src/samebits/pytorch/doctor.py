"""The seven points that a repeatable training needs, each measured here and now, none taken on trust.

Measuring moves nothing: the generators are put back as they were found.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.utils.deterministic
import transformers

from samebits.numerics.examination import Check
from samebits.pytorch import seeds
from samebits.record.execution import default_threads

HASHED_TEXT = "samebits"
_REMEDY_SETUP = "call DeterministicConfig.setup_deterministic_environment()"
_N_DRAWS = 3


def examine(seed: int | None = None, n_threads: int | None = None) -> list[Check]:
    """Measure the seven points in this process.

    Args:
        seed: what the generators are tried with; torch's present seed where left out.
        n_threads: threads that were asked for; OMP_NUM_THREADS or the allowed cores where left out.
    """
    seed = torch.initial_seed() % 2**32 if seed is None else seed
    return [
        _hash_seed(),
        _deterministic_algorithms(),
        _openmp_threads(default_threads() if n_threads is None else n_threads),
        _deterministic_mode(),
        _cuda_isolation(),
        _seeds_in_step(seed),
        _transformers_seed(seed),
    ]


def _hash_seed() -> Check:
    """Compare this process's hash of a text with that of a child that is started with the same variable."""
    name, remedy = "hash seed", "set PYTHONHASHSEED to a number before Python starts"
    stated = os.environ.get("PYTHONHASHSEED", "random")
    if not stated.isdecimal():
        return Check(name, False, f"PYTHONHASHSEED is {stated}: every start hashes differently", remedy)
    try:
        child = subprocess.run(
            [sys.executable, "-c", f"print(hash({HASHED_TEXT!r}))"],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        return Check(name, None, f"a child could not be started: {error}", remedy)
    if int(child.stdout) != hash(HASHED_TEXT):
        return Check(name, False, f"a child started with PYTHONHASHSEED={stated} hashes differently from here", remedy)
    return Check(name, True, f"a child started with PYTHONHASHSEED={stated} hashes as this process does", remedy)


def _deterministic_algorithms() -> Check:
    """Ask torch for its switch, and repeat an addition into few places from many threads."""
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    values = torch.arange(1, 40_001, dtype=torch.float32, device="cpu").reciprocal()
    places = torch.arange(40_000, device="cpu") % 7
    empty = torch.zeros(7, device="cpu")
    sums = [empty.index_put((places,), values, accumulate=True).numpy().tobytes() for _ in range(_N_DRAWS)]
    repeats = len(set(sums)) == 1
    state = "on" if enabled and not warn_only else "only warning" if enabled else "off"
    measured = f"the switch is {state}; {_N_DRAWS} sums into 7 places {'agree' if repeats else 'differ'}"
    return Check("deterministic algorithms", enabled and not warn_only and repeats, measured, _REMEDY_SETUP)


def _openmp_threads(n_threads: int) -> Check:
    """Ask torch, OpenMP and MKL, each for itself, how many threads it will use."""
    counts = {"torch": torch.get_num_threads(), **library_threads()}
    measured = ", ".join(f"{name} has {count}" for name, count in counts.items()) + f"; {n_threads} asked for"
    agree = all(count == n_threads for count in counts.values())
    ok = agree if "OpenMP" in counts or not agree else None
    return Check("OpenMP threads", ok, measured, "set OMP_NUM_THREADS or `threads`, and let nothing change it later")


def library_threads() -> dict[str, int]:
    """Return what OpenMP and MKL say of their threads; the ones that this build of torch does not have are absent."""
    text = torch.__config__.parallel_info()
    patterns = {"OpenMP": r"omp_get_max_threads\(\) : (\d+)", "MKL": r"mkl_get_max_threads\(\) : (\d+)"}
    found = {name: re.search(pattern, text) for name, pattern in patterns.items()}
    return {name: int(match[1]) for name, match in found.items() if match}


def _deterministic_mode() -> Check:
    """Ask for the flags, and look whether fresh memory is filled where the deterministic switch lets it be."""
    flags = {
        "cudnn.deterministic": torch.backends.cudnn.deterministic,
        "cudnn.benchmark off": not torch.backends.cudnn.benchmark,
        "fill_uninitialized_memory": bool(torch.utils.deterministic.fill_uninitialized_memory),
        "CUBLAS_WORKSPACE_CONFIG": os.environ.get("CUBLAS_WORKSPACE_CONFIG") in (":4096:8", ":16:8"),
    }
    if flags["fill_uninitialized_memory"] and torch.are_deterministic_algorithms_enabled():
        flags["fresh memory is filled"] = bool(torch.empty(1024, device="cpu").isnan().all())
    wrong = [name for name, holds in flags.items() if not holds]
    measured = f"not so: {', '.join(wrong)}" if wrong else f"{len(flags)} of {len(flags)} hold: {', '.join(flags)}"
    return Check("PyTorch deterministic mode", not wrong, measured, _REMEDY_SETUP)


def _cuda_isolation() -> Check:
    """Count the devices that torch can see, and look where a new tensor lands."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    n_devices, device = torch.cuda.device_count(), torch.empty(0).device.type
    measured = (
        f"torch sees {n_devices} CUDA devices, a new tensor lands on {device}, "
        f"CUDA_VISIBLE_DEVICES {'hides' if hidden else 'does not hide'} all devices"
    )
    ok = hidden and n_devices == 0 and device == "cpu"
    return Check("CUDA isolation", ok, measured, "set CUDA_VISIBLE_DEVICES to the empty text before torch starts")


def _seeds_in_step(seed: int) -> Check:
    """Seed as the trainer does and draw, twice; another seed must draw otherwise."""
    with _generators_kept():
        ours = [_draws_after(seeds.seed_generators, number) for number in (seed, seed, (seed + 1) % 2**32)]
    repeat = [name for name in ours[0] if ours[0][name] != ours[1][name]]
    deaf = [name for name in ours[0] if ours[0][name] == ours[2][name]]
    measured = f"Python, NumPy and torch draw the same again after seed {seed}, and otherwise after the next seed"
    if repeat or deaf:
        measured = "; ".join(
            f"{', '.join(names)} {what}" for names, what in ((repeat, "not repeated"), (deaf, "the same for two seeds"))
            if names
        )  # fmt: skip
    return Check("seeds in step", not repeat and not deaf, measured, "seed all three, and let no thread draw meanwhile")


def _transformers_seed(seed: int) -> Check:
    """Draw after transformers' own seeding, and compare with generators made for that seed alone."""
    with _generators_kept():
        # From another place, or a seeding that does nothing would find the generators where the setup left them.
        seeds.seed_generators((seed + 1) % 2**32)
        theirs = _draws_after(transformers.set_seed, seed)
    generator = torch.Generator().manual_seed(seed)
    alone = {
        "Python": _hex(random.Random(seed).random),  # noqa: S311 (no secret)
        "NumPy": _hex(np.random.RandomState(seed).random_sample),
        "torch": _hex(lambda: torch.rand((), generator=generator, device="cpu").item()),
    }
    wrong = [name for name in alone if theirs[name] != alone[name]]
    measured = f"transformers.set_seed({seed}) draws what lone generators of that seed draw"
    if wrong:
        measured = f"after transformers.set_seed({seed}), not as a lone generator of that seed: {', '.join(wrong)}"
    return Check("transformers' seed", not wrong, measured, "let nothing replace transformers.set_seed")


def _draws_after(seeding: Callable[[int], None], seed: int) -> dict[str, list[str]]:
    seeding(seed)
    return {
        "Python": _hex(random.random),
        "NumPy": _hex(np.random.random_sample),
        "torch": _hex(lambda: torch.rand((), device="cpu").item()),
    }


def _hex(draw: Callable[[], float]) -> list[str]:
    return [float(draw()).hex() for _ in range(_N_DRAWS)]


@contextmanager
def _generators_kept() -> Iterator[None]:
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
