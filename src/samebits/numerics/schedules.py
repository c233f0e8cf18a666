"""Learning rates by step (N-13): the schedules of transformers, each rate computed exactly and rounded once."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

from samebits.errors import NumericsError
from samebits.numerics.host_scalars import (
    Enclosure,
    cosine_of_pi_times,
    decimal_of,
    nearest_f64,
    rational_power,
    settled,
)

Kind = Literal["constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial"]
GREATEST_POWER = 1000


@dataclass(frozen=True)
class Schedule:
    """The learning rate of every step of a run (N-13).

    Args:
        kind: as transformers calls it; `constant` knows no warm-up.
        peak: the rate that factors multiply, above 0.
        n_steps: optimizer steps of the run.
        warmup_steps: over which the rate rises from 0.
        n_cycles: of `cosine` (transformers: 0.5) and of `cosine_with_restarts` (a whole number; transformers: 1).
        power: of `polynomial`, above 0.
        end: the rate that `polynomial` ends at, below `peak`.
    Raises:
        NumericsError: a setting does not fit.
    Source: Hugging Face transformers, optimization.py; cosine: Loshchilov & Hutter, arXiv:1608.03983.
    """

    kind: Kind
    peak: float
    n_steps: int
    warmup_steps: int = 0
    n_cycles: float | None = None
    power: float = 1.0
    end: float = 1e-7

    def __post_init__(self) -> None:
        polynomial = self.kind == "polynomial"
        for holds, must, got in (
            (self.kind in get_args(Kind), "a schedule must be one of " + ", ".join(get_args(Kind)), self.kind),
            (self.peak > 0, "a learning rate must be above 0", self.peak),
            (min(self.n_steps, self.warmup_steps) >= 0, "steps must be 0 or more", (self.n_steps, self.warmup_steps)),
            (0 < self.power <= GREATEST_POWER, f"`power` must be above 0, at most {GREATEST_POWER}", self.power),
            (not polynomial or 0 <= self.end < self.peak, "`end` must be from 0 to below the peak", self.end),
        ):
            if not holds:
                raise NumericsError(must, got=repr(got), where="N-13")
        if self.kind == "cosine_with_restarts" and self._cycles().denominator != 1:
            raise NumericsError("the cycles of restarts must be whole", got=repr(self.n_cycles), where="N-13")

    def learning_rate(self, step: int) -> float:
        """Return the rate of a step, counted from 0: the binary64 number nearest to the formula's true value."""
        return settled(lambda bits: self._enclose(step, bits), nearest_f64)

    def _cycles(self) -> Fraction:
        if self.n_cycles is None:
            return Fraction(1, 2) if self.kind == "cosine" else Fraction(1)
        return decimal_of(self.n_cycles)

    def _enclose(self, step: int, bits: int) -> Enclosure:
        peak = decimal_of(self.peak)
        if self.kind == "constant":
            return peak, peak
        if step < self.warmup_steps:
            rate = peak * Fraction(step, self.warmup_steps)
            return rate, rate
        if self.kind == "polynomial":
            return self._polynomial(step, bits)
        low, high = self._factor(step, bits)
        return peak * low, peak * high

    def _factor(self, step: int, bits: int) -> Enclosure:
        """Return what the peak is multiplied by after warm-up."""
        one = Fraction(1)
        if self.kind == "constant_with_warmup":
            return one, one
        n_after_warmup = max(1, self.n_steps - self.warmup_steps)
        progress = Fraction(step - self.warmup_steps, n_after_warmup)
        if self.kind == "linear":
            left = max(Fraction(0), Fraction(self.n_steps - step, n_after_warmup))
            return left, left
        if self.kind == "cosine":
            low, high = cosine_of_pi_times(2 * self._cycles() * progress, bits)
        elif progress >= 1:
            low = high = -one
        else:
            low, high = cosine_of_pi_times(self._cycles() * progress % 1, bits)
        return (1 + low) / 2, (1 + high) / 2

    def _polynomial(self, step: int, bits: int) -> Enclosure:
        peak, end = decimal_of(self.peak), decimal_of(self.end)
        if step >= self.n_steps:
            return end, end
        left = Fraction(self.n_steps - step, self.n_steps - self.warmup_steps)
        low, high = rational_power(left, decimal_of(self.power), bits)
        return (peak - end) * low + end, (peak - end) * high + end
