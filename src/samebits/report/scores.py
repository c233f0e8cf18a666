"""Shares and variances as exact fractions, so that no order of runs and no rounding reaches a report.

A share is rounded towards zero: it prints as 1 only where every run agrees. A variance is rounded to the nearest
binary64, but never to zero where two values differ.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

SCORE_PLACES = 4
TOO_FEW_RUNS = "fewer than two comparable runs"


@dataclass(frozen=True)
class Share:
    """`n_same` out of `n_total`; not tested, with the reason, where there was nothing to compare."""

    n_same: int
    n_total: int
    reason: str | None = None

    @property
    def is_tested(self) -> bool:
        """Whether there was anything to compare."""
        return self.reason is None

    @property
    def value(self) -> float | None:
        """The share, rounded towards zero to four places; None where it was not tested."""
        if not self.is_tested:
            return None
        scale: int = 10**SCORE_PLACES
        return float(Fraction(self.n_same * scale // self.n_total, scale))

    @property
    def verdict(self) -> str:
        """`same`, `different` or `not tested`."""
        if not self.is_tested:
            return "not tested"
        return "same" if self.n_same == self.n_total else "different"

    def document(self) -> dict[str, Any]:
        """Return the share as the report holds it."""
        return {
            "score": self.value,
            "n_same": self.n_same,
            "n_total": self.n_total,
            "verdict": self.verdict,
            "reason": self.reason,
        }


def not_tested(reason: str) -> Share:
    """Return the share of a comparison that nobody made."""
    return Share(0, 0, reason)


def most_common(value_by_run: Mapping[str, Hashable | None]) -> Any:
    """Return the value that most runs have; of equally common ones, that of the run whose name sorts first.

    Args:
        value_by_run: a missing value is None and is never the most common one, unless no run has any other.
    """
    counts = Counter(value for value in value_by_run.values() if value is not None)
    if not counts:
        return None
    highest = max(counts.values())
    return next(value for _, value in sorted(value_by_run.items()) if value is not None and counts[value] == highest)


def share_of_most_common(value_by_run: Mapping[str, Hashable | None]) -> Share:
    """Return the share of runs that have the most common value; a run without a value agrees with none."""
    if len(value_by_run) < 2:
        return not_tested(TOO_FEW_RUNS)
    reference = most_common(value_by_run)
    n_same = sum(value is not None and value == reference for value in value_by_run.values())
    return Share(n_same, len(value_by_run))


def total(shares: Sequence[Share], reason: str) -> Share:
    """Add tested shares up; not tested, for `reason`, where none of them was."""
    tested = [share for share in shares if share.is_tested]
    if not tested:
        return not_tested(reason)
    return Share(sum(share.n_same for share in tested), sum(share.n_total for share in tested))


def variance(values: Sequence[float]) -> float | None:
    """Return the population variance of finite numbers; None for fewer than two, or beyond binary64.

    Computed in fractions and rounded once, so it does not depend on the order; it is 0 only if all values are equal.
    """
    if len(values) < 2:
        return None
    exact = [Fraction(value) for value in values]
    mean = sum(exact, Fraction(0)) / len(exact)
    spread = sum(((value - mean) ** 2 for value in exact), Fraction(0)) / len(exact)
    try:
        rounded = float(spread)
    except OverflowError:
        return None
    return rounded if rounded > 0 or spread == 0 else math.ulp(0.0)
