"""Switches of numerical libraries: variables that change the bits of stock kernels, and of no portable one."""

from __future__ import annotations

from samebits.study.surroundings import Makers
from samebits.study.variation import Variation

KNOBS = {
    "aten": (("aten-default", "ATEN_CPU_CAPABILITY", "default"),),
    "mkl": (("mkl-isa-sse4-2", "MKL_ENABLE_INSTRUCTIONS", "SSE4_2"), ("mkl-cbwr-compatible", "MKL_CBWR", "COMPATIBLE")),
    "onednn": (("onednn-sse41", "ONEDNN_MAX_CPU_ISA", "SSE41"),),
    "openblas": (("openblas-prescott", "OPENBLAS_CORETYPE", "Prescott"),),
}
"""By factor: name of the variation, variable, value."""


def knobs() -> Makers:
    """Return what makes the variations of each factor for a portable run, which uses none of these libraries."""
    return {factor: lambda factor=factor: _knobs_of(factor) for factor in KNOBS}  # type: ignore[misc]


def _knobs_of(factor: str) -> list[Variation]:
    return [
        Variation(
            name,
            factor,
            f"{variable}={value}",
            environment={variable: value},
            facts=(f"env.variables.{variable}",),
        )
        for name, variable, value in KNOBS[factor]
    ]
