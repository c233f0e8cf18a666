"""Derive the polynomials of N-08 and N-15: minimax by Remez's exchange, then rounded coefficients.

python tools/fit_functions.py [NAME ...]

For each polynomial one finds c minimising max |weight(x) * (sum c[i] x^power[i] - target(x))| over the interval, in 60
digits, and rounds every c to its format: the terms that carry the result (1 + r, or f - f^2 / 2) are exact and not
among them. Printed: the coefficients as hex floats, lowest power first, and the base-2 logarithm of the weighted error
that they reach after rounding.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mpmath
from mpmath import mp, mpf

mp.dps = 60
N_GRID = 600
N_EXCHANGES = 12
HALF_LN2 = mpmath.log(2) / 2
Real = Callable[[mpf], mpf]


@dataclass(frozen=True)
class Polynomial:
    """What is fitted: sum c[i] x^powers[i] to `target` on [low, high], `weight` times the error being made small."""

    target: Real
    weight: Real
    powers: Sequence[int]
    low: mpf
    high: mpf
    precision: int = 24


def fit(polynomial: Polynomial) -> tuple[list[mpf], mpf]:
    """Return coefficients of the polynomial's format and the largest weighted error."""
    grid = _grid(polynomial)
    targets, weights = [polynomial.target(x) for x in grid], [polynomial.weight(x) for x in grid]
    exact = _remez(grid, targets, weights, polynomial.powers)
    found = [_rounded(coefficient, polynomial.precision) for coefficient in exact]
    return found, max(map(abs, _errors(found, grid, targets, weights, polynomial.powers)))


def _errors(
    coefficients: list[mpf], grid: list[mpf], targets: list[mpf], weights: list[mpf], powers: Sequence[int]
) -> list[mpf]:
    return [
        weight * (sum(c * x**p for c, p in zip(coefficients, powers, strict=True)) - target)
        for x, target, weight in zip(grid, targets, weights, strict=True)
    ]


def _grid(polynomial: Polynomial) -> list[mpf]:
    """Return Chebyshev's points, dense at both ends; an even number, so that none is the middle."""
    middle, half = (polynomial.low + polynomial.high) / 2, (polynomial.high - polynomial.low) / 2
    return [middle - half * mpmath.cos(mp.pi * i / (N_GRID - 1)) for i in range(N_GRID)]


def _remez(grid: list[mpf], targets: list[mpf], weights: list[mpf], powers: Sequence[int]) -> list[mpf]:
    n = len(powers) + 1
    chosen = [round((1 - mpmath.cos(mp.pi * i / (n - 1))) / 2 * (len(grid) - 1)) for i in range(n)]
    coefficients: list[mpf] = []
    for _ in range(N_EXCHANGES):
        rows = [[*(grid[i] ** power for power in powers), (-1) ** k / weights[i]] for k, i in enumerate(chosen)]
        solved = mpmath.lu_solve(mpmath.matrix(rows), mpmath.matrix([targets[i] for i in chosen]))
        coefficients = list(solved)[:-1]
        errors = _errors(coefficients, grid, targets, weights, powers)
        exchanged = _alternation(errors, n)
        if exchanged == chosen or len(exchanged) < n:
            break
        chosen = exchanged
    return coefficients


def _alternation(errors: list[mpf], n: int) -> list[int]:
    """Return n points of alternating sign with the largest errors."""
    peaks: list[int] = []
    for i, error in enumerate(errors):
        if peaks and (error > 0) == (errors[peaks[-1]] > 0):
            if abs(error) > abs(errors[peaks[-1]]):
                peaks[-1] = i
        else:
            peaks.append(i)
    while len(peaks) > n:
        del peaks[0 if abs(errors[peaks[0]]) < abs(errors[peaks[-1]]) else -1]
    return peaks


def _rounded(x: mpf, precision: int) -> mpf:
    with mp.workprec(precision):
        return +x


POLYNOMIALS = {
    # e^r = 1 + r + r^2 (c0 + c1 r + ...): relative error.
    "exp": Polynomial(
        lambda r: (mpmath.expm1(r) - r) / r**2,
        lambda r: r**2 / mpmath.exp(r),
        range(5),
        -HALF_LN2 * mpf("1.0005"),
        HALF_LN2 * mpf("1.0005"),
    ),
    # log(1 + f) = f + f^2 (-1/2 + c0 f + c1 f^2 + ...): relative error.
    "log": Polynomial(
        lambda f: (mpmath.log1p(f) - f + f**2 / 2) / f**3,
        lambda f: f**3 / mpmath.log1p(f),
        range(8),
        mpmath.sqrt(mpf(1) / 2) - 1,
        mpmath.sqrt(mpf(2)) - 1,
    ),
}


def main(names: list[str]) -> None:
    """Print the coefficients of all polynomials, or of those named."""
    for name, polynomial in POLYNOMIALS.items():
        if not names or name in names:
            coefficients, error = fit(polynomial)
            print(f"{name}: error 2^{float(mpmath.log(error, 2)):.2f}", flush=True)
            for coefficient in coefficients:
                print(f"  {float(coefficient).hex()}")


if __name__ == "__main__":
    main(sys.argv[1:])
