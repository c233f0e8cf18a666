"""Changes of the machine's arithmetic under stock kernels: the baseline that must be seen to break."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from samebits.pytorch.extra import missing_libraries
from samebits.recipe.settings import STOCK
from samebits.study.knobs import KNOBS
from samebits.study.surroundings import Makers, all_at_once
from samebits.study.variation import PAIRS, Variation, fact, of_profile

MACHINE = ("threads", "aten", "mkl")
CAPABILITIES = ("default", "avx2", "avx512")
# What can tell that arithmetic ran otherwise; `probes` are digests of operations on fixed numbers.
MACHINE_FACTS = (
    "execution.isa",
    "execution.n_threads",
    "env.torch.mkl.instruction_set",
    "execution.probes",
)


def missing_baseline() -> str | None:
    """Return why no stock run can be made here, and what to do about it; None where one can."""
    missing = missing_libraries()
    return f"no {' and no '.join(missing)} here: run `pip install 'samebits[torch]'`" if missing else None


def expected_facts(portable: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that a stock run will probably record, by those of a portable one on the same machine."""
    isas = fact(portable, "env.numerics.runnable_isas") or ()
    isa = next((isa for isa in reversed(CAPABILITIES) if isa in isas), CAPABILITIES[0])
    return {"execution": {**(portable.get("execution") or {}), "isa": isa}, "env": {"torch": {"mkl": {}}}}


def machine(facts: Mapping[str, Any], *, full: bool) -> Makers:
    """Return what makes the variations of each factor.

    Args:
        facts: `{"execution": ..., "env": ...}` as the golden run of this profile recorded them.
        full: more values of each factor.
    """
    return {
        "threads": lambda: _threads(facts, full=full),
        "aten": lambda: _capabilities(facts),
        "mkl": lambda: _mkl(facts, full=full),
        "onednn": lambda: [_knob("onednn", *knob) for knob in KNOBS["onednn"]],
    }


def stock_pairs(made: Sequence[Sequence[Variation]], scratch: Path) -> list[Variation]:
    """Return all surroundings at once, and one more run under the first change of each factor.

    Args:
        made: variations by factor; each further run is expected to give that run's bits again.
        scratch: as for `surroundings`.
    """
    possible = [[v for v in found if v.expectation == "may differ" and v.unavailable is None] for found in made]
    again = [
        Variation(
            f"{variation.name}-again",
            PAIRS,
            f"{variation.changed}, once more",
            STOCK,
            environment=variation.environment,
            settings=variation.settings,
            against=variation.name,
        )
        for variation, *_ in filter(None, possible)
    ]
    return [all_at_once(STOCK, scratch), *again]


def _machine(
    name: str,
    factor: str,
    changed: str,
    *,
    environment: Mapping[str, str] | None = None,
    settings: tuple[str, ...] = (),
    unavailable: str | None = None,
) -> Variation:
    variation = Variation(
        name,
        factor,
        changed,
        expectation="may differ",
        environment=environment or {},
        settings=settings,
        facts=MACHINE_FACTS,
        unavailable=unavailable,
    )
    return of_profile(variation, STOCK)


def _threads(facts: Mapping[str, Any], *, full: bool) -> list[Variation]:
    golden = fact(facts, "execution.n_threads")
    counts = [1, 2, 3, 4, 8] if full else [1 if golden != 1 else 2, 3]
    return [
        _machine(
            f"threads-{count}",
            "threads",
            f"{count} thread{'s' if count > 1 else ''}, not {golden}",
            settings=(f"threads={count}",),
        )
        for count in counts
        if count != golden
    ]


def _capabilities(facts: Mapping[str, Any]) -> list[Variation]:
    golden = str(fact(facts, "execution.isa")).lower()
    lower = CAPABILITIES[: CAPABILITIES.index(golden)] if golden in CAPABILITIES else CAPABILITIES[:1]
    if golden == CAPABILITIES[0]:
        reason = "torch runs its lowest capability here already"
        return [_machine("aten-default", "aten", "ATEN_CPU_CAPABILITY=default", unavailable=reason)]
    return [
        _machine(
            f"aten-{level}",
            "aten",
            f"ATEN_CPU_CAPABILITY={level}, not {golden}",
            environment={"ATEN_CPU_CAPABILITY": level},
        )
        for level in lower
    ]


def _mkl(facts: Mapping[str, Any], *, full: bool) -> list[Variation]:
    knobs = list(KNOBS["mkl"])
    if full:
        knobs += [("mkl-isa-avx2", "MKL_ENABLE_INSTRUCTIONS", "AVX2"), ("mkl-cbwr-avx2", "MKL_CBWR", "AVX2")]
    reason = "torch was built without MKL" if fact(facts, "env.torch.mkl") is None else None
    return [_knob("mkl", *knob, unavailable=reason) for knob in knobs]


def _knob(factor: str, name: str, variable: str, value: str, *, unavailable: str | None = None) -> Variation:
    environment = {variable: value}
    return _machine(name, factor, f"{variable}={value}", environment=environment, unavailable=unavailable)
