"""Rows of factor values in which every two values of two factors stand together at least once."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

Factors = Mapping[str, Sequence[str]]
Row = dict[str, str]
Pair = tuple[tuple[str, str], tuple[str, str]]
"""Two (factor, value), in the factors' order."""


def pairs_of(factors: Factors) -> set[Pair]:
    """Return every pair of values of two different factors."""
    return {
        ((one, left), (other, right))
        for one, other in itertools.combinations(factors, 2)
        for left, right in itertools.product(factors[one], factors[other])
    }


def uncovered(factors: Factors, rows: Sequence[Mapping[str, str]]) -> set[Pair]:
    """Return the pairs that stand together in no row."""
    return pairs_of(factors) - {pair for row in rows for pair in _pairs_in(row, factors)}


def cover(factors: Factors) -> list[Row]:
    """Return rows that cover every pair: each begins with a missing pair and takes what covers most, factor by factor.

    Factors are walked in their order and ties go to the earlier value, so the rows are the same everywhere. They are
    not the fewest possible, but never fewer than the product of the two longest factors.
    """
    missing, names = pairs_of(factors), list(factors)
    rows = []

    def place(pair: Pair) -> tuple[int, ...]:
        return tuple(number for factor, value in pair for number in (names.index(factor), factors[factor].index(value)))

    while missing:
        first: Pair = min(missing, key=place)
        row = dict(first)
        for factor in factors:
            if factor not in row:
                row[factor] = max(factors[factor], key=lambda value: _gain({**row, factor: value}, factors, missing))
        missing -= set(_pairs_in(row, factors))
        rows.append({factor: row[factor] for factor in factors})
    return rows


def _pairs_in(row: Mapping[str, str], factors: Factors) -> list[Pair]:
    chosen = [(factor, row[factor]) for factor in factors if factor in row]
    return list(itertools.combinations(chosen, 2))


def _gain(row: Mapping[str, str], factors: Factors, missing: set[Pair]) -> int:
    return sum(pair in missing for pair in _pairs_in(row, factors))
