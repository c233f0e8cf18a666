"""Changes of how a portable run is cut up: threads, instruction set, batch split, packing, a kill. None may show."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from samebits.recipe.settings import PORTABLE_F32
from samebits.study.surroundings import Makers, all_at_once
from samebits.study.variation import PAIRS, Beginning, Variation, fact

ISA_VARIABLE = "SAMEBITS_ISA"
EXECUTION = ("threads", "isa", "batch-split", "packing", "resume")
THREADS = (1, 3, 8)
MORE_THREADS = (1, 2, 3, 4, 5, 8, 16)
# A budget into which no step of the embedded recipe fits at once: its samples run in several passes, and activations
# are computed again.
SMALL_BUDGET = "memory_budget_mib=1"

ENDED_STEP, ENDED_EXIT_CODE = 3, 75
_CHECKPOINTS = "save_steps=2"
# `os._exit` runs nothing on its way out: what is not on the disk is lost, as under SIGKILL, on every system.
_END_AFTER_A_STEP = f"""
import os
from samebits.cli.training_lines import Lines
told = Lines.on_step
def on_step(self, step, *numbers):
    told(self, step, *numbers)
    if step == {ENDED_STEP}:
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
        "batch-split": lambda: [_batch_split(1, 4), _batch_split(2, 2)],
        "packing": lambda: [_packing()],
        "resume": lambda: [_resume(facts)],
    }


def portable_pairs(facts: Mapping[str, Any], scratch: Path) -> list[Variation]:
    """Return several changes at once: all surroundings, then each instruction set with each other thread count."""
    splits = itertools.cycle([_batch_split(1, 4), _packing(), _batch_split(2, 2)])
    others = [*_isas(facts), None]
    pairs = itertools.product([isa for isa in others if isa is None or isa.unavailable is None], _threads(facts))
    found = [all_at_once(PORTABLE_F32, scratch)]
    for (isa, threads), split in zip(pairs, splits, strict=False):
        parts = [part for part in (isa, threads, split) if part is not None]
        found.append(_together(parts))
    return found


def _together(parts: Sequence[Variation]) -> Variation:
    return Variation(
        "-".join(part.name for part in parts[:2]),
        PAIRS,
        " + ".join(part.name for part in parts),
        environment={name: value for part in parts for name, value in part.environment.items()},
        settings=tuple(pair for part in parts for pair in part.settings),
        facts=("execution.n_threads",),
    )


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


def _batch_split(n_samples: int, n_passes: int) -> Variation:
    return Variation(
        f"batch-split-{n_samples}x{n_passes}",
        "batch-split",
        f"{n_passes} passes of {n_samples} sample{'s' if n_samples > 1 else ''} for one step",
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


def _resume(facts: Mapping[str, Any]) -> Variation:
    threads = next(count for count in THREADS[1:] if count != fact(facts, "execution.n_threads"))
    return Variation(
        "resume",
        "resume",
        f"killed at step {ENDED_STEP}, resumed on {threads} threads",
        settings=(f"threads={threads}", _CHECKPOINTS),
        facts=("training.resumed_from",),
        beginning=Beginning(_END_AFTER_A_STEP, ENDED_EXIT_CODE, (_CHECKPOINTS,)),
    )
