"""Which variations a study makes of each profile, once the golden run has told what its machine can do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from samebits.recipe.settings import PORTABLE_F32, STOCK
from samebits.study.portable import EXECUTION, execution, portable_pairs
from samebits.study.stock import MACHINE, machine, stock_pairs
from samebits.study.surroundings import SURROUNDINGS, surroundings
from samebits.study.variation import PAIRS, Variation

FACTORS = (*SURROUNDINGS, *EXECUTION, *(factor for factor in MACHINE if factor not in EXECUTION), PAIRS)


def portable_variations(
    facts: Mapping[str, Any], scratch: Path, *, full: bool = False, only: Collection[str] = ()
) -> list[Variation]:
    """Return the variations of portable runs; every one is expected to give the golden digest.

    Args:
        facts: `{"execution": ..., "env": ...}` as the golden run recorded them.
        scratch: an empty folder for what a variation needs, such as a locale.
        full: more values of each factor, and several at once.
        only: factors to vary; all where empty.
    """
    wanted = set(only or FACTORS)
    makers = {**surroundings(PORTABLE_F32, scratch, full=full), **execution(facts, full=full)}
    table = [variation for factor, make in makers.items() if factor in wanted for variation in make()]
    return table + (portable_pairs(facts, scratch) if full and PAIRS in wanted else [])


def stock_variations(
    facts: Mapping[str, Any], scratch: Path, *, full: bool = False, only: Collection[str] = ()
) -> list[Variation]:
    """Return the variations of stock runs: the machine's arithmetic; surroundings and pairs in a full study only.

    Args:
        facts: as for `portable_variations`, of the golden run of this profile.
        scratch: the same.
        full: the same.
        only: the same.
    """
    wanted = set(only or FACTORS)
    arithmetic = machine(facts, full=full)
    makers = {
        **(surroundings(STOCK, scratch, full=True) if full else {}),
        **{factor: arithmetic[factor] for factor in MACHINE},
    }
    made = {factor: make() for factor, make in makers.items() if factor in wanted}
    table = [variation for found in made.values() for variation in found]
    return table + (stock_pairs(list(made.values()), scratch) if full and PAIRS in wanted else [])


def has_baseline(*, full: bool, only: Collection[str]) -> bool:
    """Whether a study of these factors has runs of stock kernels."""
    own = {*MACHINE, *((*SURROUNDINGS, PAIRS) if full else ())}
    return not only or bool(own & set(only))
