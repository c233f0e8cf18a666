"""Changes of how a portable run is cut up: threads, instruction set, batch split, packing, a kill. None may show."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from samebits.recipe.settings import PORTABLE_F32
from samebits.study.surroundings import Makers, all_at_once
from samebits.study.variation import Beginning, Variation, combine, fact

ISA_VARIABLE = "SAMEBITS_ISA"
EXECUTION = ("threads", "isa", "batch-split", "packing", "resume")
THREADS = (1, 3, 8)
MORE_THREADS = (1, 2, 3, 4, 5, 8, 16)
# A budget into which no step of the embedded recipe fits at once: its samples run in several passes, and activations
# are computed again.
SMALL_BUDGET = "memory_budget_mib=1"

ENDED_EXIT_CODE = 75
# `os._exit` runs nothing on its way out: what is not on the disk is lost, as under SIGKILL, on every system.
_END_AFTER_A_STEP = f"""
import os
from samebits.cli.training_lines import Lines
told = Lines.on_step
def on_step(self, step, *numbers):
    told(self, step, *numbers)
    if step == {{ended_step}}:
        os._exit({ENDED_EXIT_CODE})
Lines.on_step = on_step
"""


def execution(facts: Mapping[str, Any], *, full: bool) -> Makers:
    """Return what makes the variations of each factor.

    Args:
        facts: `{"execution": ..., "env": ...}` as the golden run recorded them.
        full: more values of each factor.
    """
    return {
        "threads": lambda: _threads(facts, MORE_THREADS if full else THREADS),
        "isa": lambda: _isas(facts),
        "batch-split": lambda: _batch_splits(facts),
        "packing": lambda: [_packing()],
        "resume": lambda: _resumes_on_other_threads(facts),
    }


def portable_pairs(facts: Mapping[str, Any], scratch: Path) -> list[Variation]:
    """Return several changes at once: all surroundings, then each instruction set with each other thread count."""
    first, *rest = [_packing(), *(split for split in _batch_splits(facts) if split.unavailable is None)]
    splits = itertools.cycle([*rest[:1], first, *rest[1:]])
    others = [*_isas(facts), None]
    pairs = itertools.product([isa for isa in others if isa is None or isa.unavailable is None], _threads(facts))
    found = [all_at_once(PORTABLE_F32, scratch)]
    for (isa, threads), split in zip(pairs, splits, strict=False):
        parts = [part for part in (isa, threads, split) if part is not None]
        found.append(combine("-".join(part.name for part in parts[:2]), parts))
    return found


def _threads(facts: Mapping[str, Any], counts: Sequence[int] = THREADS) -> list[Variation]:
    golden = fact(facts, "execution.n_threads")
    # Where the golden run has one of the three, another takes its place.
    wanted = dict.fromkeys((*counts, 2)) if golden in counts else counts
    return [
        Variation(
            f"threads-{count}",
            "threads",
            f"{count} thread{'s' if count > 1 else ''}, not {golden}",
            settings=(f"threads={count}",),
            facts=("execution.n_threads",),
        )
        for count in wanted
        if count != golden
    ]


def _isas(facts: Mapping[str, Any]) -> list[Variation]:
    golden = fact(facts, "execution.isa")
    runnable = fact(facts, "env.numerics.runnable_isas")
    others = [str(isa) for isa in runnable if isa != golden] if isinstance(runnable, list) else []
    if not others:
        reason = f"this processor runs no other instruction set than {golden}"
        return [Variation("isa-other", "isa", f"another {ISA_VARIABLE}", unavailable=reason)]
    return [
        Variation(
            f"isa-{isa}",
            "isa",
            f"{ISA_VARIABLE}={isa}, not {golden}",
            environment={ISA_VARIABLE: isa},
            facts=("execution.isa",),
        )
        for isa in others
    ]


def _batch_splits(facts: Mapping[str, Any]) -> list[Variation]:
    golden = fact(facts, "execution.per_device_train_batch_size") or 1
    total = golden * (fact(facts, "execution.gradient_accumulation_steps") or 1)
    halves = [total // 2] if total % 2 == 0 else []
    wanted = [n_samples for n_samples in dict.fromkeys([1, *halves, total]) if n_samples != golden]
    if not wanted:
        reason = "a step has one sample only"
        return [Variation("batch-split-other", "batch-split", "other passes for one step", unavailable=reason)]
    return [_batch_split(n_samples, total // n_samples) for n_samples in wanted]


def _batch_split(n_samples: int, n_passes: int) -> Variation:
    return Variation(
        f"batch-split-{n_samples}x{n_passes}",
        "batch-split",
        f"{_counted(n_passes, 'pass', 'passes')} of {_counted(n_samples, 'sample', 'samples')} for one step",
        settings=(f"per_device_train_batch_size={n_samples}", f"gradient_accumulation_steps={n_passes}"),
        facts=("execution.per_device_train_batch_size",),
    )


def _packing() -> Variation:
    return Variation(
        "packing",
        "packing",
        "1 MiB for activations: more passes",
        settings=(SMALL_BUDGET,),
        facts=("execution.n_passes",),
    )


def resumes(facts: Mapping[str, Any], *, full: bool) -> list[Variation]:
    """Return runs that are killed in the middle and gone on with; in the second and the last step too where `full`."""
    n_steps = fact(facts, "n_steps") or 0
    if n_steps < 2:
        reason = "the recipe has fewer than two steps"
        return [Variation("resume", "resume", "killed, and resumed", unavailable=reason)]
    middle = max(2, n_steps // 2)
    others = [step for step in (2, n_steps) if step != middle] * full
    return [_resume(middle, "resume"), *(_resume(step, f"resume-{step}") for step in dict.fromkeys(others))]


def _resume(ended_step: int, name: str) -> Variation:
    checkpoints = f"save_steps={ended_step - 1}"
    return Variation(
        name,
        "resume",
        f"killed at step {ended_step}, resumed",
        settings=(checkpoints,),
        facts=("training.resumed_from",),
        beginning=Beginning(_END_AFTER_A_STEP.format(ended_step=ended_step), ENDED_EXIT_CODE, (checkpoints,)),
    )


def _resumes_on_other_threads(facts: Mapping[str, Any]) -> list[Variation]:
    threads = next(count for count in THREADS[1:] if count != fact(facts, "execution.n_threads"))
    found = resumes(facts, full=False)
    settings, changed = (f"threads={threads}",), f" on {threads} threads"
    return [replace(one, settings=(*one.settings, *settings), changed=one.changed + changed) for one in found]


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
