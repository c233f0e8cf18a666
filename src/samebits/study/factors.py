"""The catalogue of `samebits vary`: each factor, what it changes, how, by what the change is seen, what it needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from samebits.numerics.facts import library_facts
from samebits.recipe.settings import PORTABLE_F32, STOCK, Settings, values_with_role
from samebits.record.execution import default_threads
from samebits.record.process import process_facts
from samebits.study.knobs import knobs
from samebits.study.portable import execution, resumes
from samebits.study.process import process
from samebits.study.stock import expected_facts, machine
from samebits.study.surroundings import Makers, surroundings
from samebits.study.variation import Variation, of_profile


@dataclass(frozen=True)
class Factor:
    """One line of the catalogue.

    Args:
        what: is changed.
        how: it is changed in the child.
        seen_by: what the child's own record must show.
        needs: what a host must have; without it the factor is skipped, aloud.
    """

    name: str
    what: str
    how: str
    seen_by: str
    needs: str = ""


CATALOGUE = (
    Factor("hash-seed", "the order of Python's sets", "`PYTHONHASHSEED`", "the variable"),
    Factor(
        "locale", "decimal comma, sorting, encoding", "`LC_ALL` and `setlocale`", "the C library's categories",
        "without a locale with a decimal comma, and without `localedef` to make one, it is `C`",
    ),
    Factor("time-zone", "14 hours east, 12 west", "`TZ`", "the offset from UTC"),
    Factor("folder", "the working folder; a path of more than 1000 bytes", "another folder", "its digest"),
    Factor(
        "user", "a user without a name; an empty home", "a user namespace; `HOME`", "user number; digest of the home",
        "Linux that allows user namespaces, for the user",
    ),
    Factor("umask", "permissions of new files: 077, 000", "`umask`", "the umask in effect", "not Windows"),
    Factor("host-name", "the host's name", "a UTS namespace", "the host name", "Linux: root, or user namespaces"),
    Factor(
        "file-order", "the order in which folders are listed", "backwards inside Python; disorderfs under the package",
        "the order of the package's own folder", "disorderfs and FUSE, for the second",
    ),
    Factor("address-randomisation", "the layout of memory", "`personality`", "personality and kernel", "Linux"),
    Factor(
        "clock", "ten years on; ten years back", "libfaketime, preloaded", "the clock against the kernel's",
        "Linux, libfaketime",
    ),
    Factor("affinity", "one core for all threads", "`sched_setaffinity`", "the allowed cores", "Linux, two cores"),
    Factor(
        "allocator", "Python's allocator; what fresh memory holds; another malloc",
        "`PYTHONMALLOC`; `MALLOC_PERTURB_`; jemalloc, tcmalloc or mimalloc, preloaded",
        "blocks of Python's own; a fresh block; the loaded library", "Linux and glibc; a library, for the third",
    ),
    Factor("threads", "the number of threads", "`threads`", "the threads that the kernels have"),
    Factor(
        "isa", "the instruction set of the portable kernels", "`SAMEBITS_ISA`", "the instruction set in use",
        "a processor with two of them",
    ),
    Factor(
        "batch-split", "passes of a step", "batch size and accumulation", "samples of a pass", "two samples in a step"
    ),
    Factor("packing", "which samples share a pass", "1 MiB of `memory_budget_mib`", "the number of passes"),
    Factor("resume", "killed in the middle, gone on with", "the child ends unflushed", "the step resumed from",
           "two steps"),
    Factor("aten", "kernels of PyTorch", "`ATEN_CPU_CAPABILITY`", "the variable; under `stock` the kernels in use"),
    Factor("mkl", "kernels of MKL", "`MKL_ENABLE_INSTRUCTIONS`, `MKL_CBWR`",
           "the variable; under `stock` digests of single operations"),
    Factor("onednn", "kernels of oneDNN", "`ONEDNN_MAX_CPU_ISA`",
           "the variable; under `stock` digests of single operations"),
    Factor("openblas", "kernels of NumPy's OpenBLAS", "`OPENBLAS_CORETYPE`", "the variable"),
)  # fmt: skip
"""In the order of the table; where two factors set the same, the later one holds."""

NAMES = tuple(factor.name for factor in CATALOGUE)
_SOME_STEPS = 2
NOT_STOCK = ("isa", "batch-split", "packing", "openblas")
"""What a run of stock kernels does not have, or has in its recipe."""


def variations(
    profile: str, facts: Mapping[str, Any], scratch: Path, *, full: bool = False, only: Collection[str] = ()
) -> dict[str, list[Variation]]:
    """Return the variations of each factor of the catalogue, those that this host cannot make among them.

    Args:
        profile: of the runs.
        facts: as `judge.facts_of` returns them, of the golden run.
        scratch: a folder for what a variation needs.
        full: more values of each factor.
        only: factors to vary; all where empty.
    """
    makers = (_stock_makers if profile == STOCK else _portable_makers)(facts, scratch, full=full)
    return {
        factor: [_in_profile(variation, profile) for variation in makers[factor]()]
        for factor in NAMES
        if factor in makers and (not only or factor in only)
    }


def _portable_makers(facts: Mapping[str, Any], scratch: Path, *, full: bool) -> Makers:
    return {
        **surroundings(PORTABLE_F32, scratch, full=full),
        **process(facts, scratch),
        **execution(facts, full=full),
        # Of its own, so that a difference has one name: other threads are a factor already.
        "resume": lambda: resumes(facts, full=full),
        **knobs(),
    }


def _stock_makers(facts: Mapping[str, Any], scratch: Path, *, full: bool) -> Makers:
    return {
        **surroundings(STOCK, scratch, full=full),
        **process(facts, scratch),
        "resume": lambda: resumes(facts, full=full),
        **machine(facts, full=full),
    }


def _in_profile(variation: Variation, profile: str) -> Variation:
    return variation if variation.profile == profile else of_profile(variation, profile)


def here(settings: Settings, scratch: Path) -> dict[str, list[Variation]]:
    """Return the variations that this machine could make of a recipe, without a run to ask.

    Args:
        settings: the recipe.
        scratch: as for `variations`.
    """
    numerics = library_facts() or {}
    portable = {
        "execution": {
            **values_with_role(settings, "execution"),
            "isa": numerics.get("isa"),
            "n_threads": settings.threads or default_threads(),
        },
        "env": {"numerics": numerics},
        "training": {"process": process_facts()},
        "n_steps": settings.max_steps or _SOME_STEPS,
    }
    facts = {**portable, **expected_facts(portable)} if settings.numerics == STOCK else portable
    made = variations(settings.numerics, facts, scratch, full=True)
    if settings.max_steps is None:
        # How many steps the recipe has is for a run to tell.
        made["resume"] = [replace(made["resume"][0], changed="killed in the middle, resumed")]
    return made
