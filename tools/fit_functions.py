"""Derive the polynomials of N-08 and N-15: minimax by Remez's exchange, then rounded coefficients.

python tools/fit_functions.py [NAME ...]

For each approximation one finds the c that minimise the largest |weight(x) * (sum c[i] basis[i](x) - target(x))| over
the interval, in 60 digits, and rounds every c to its format: the terms that carry the result (1 + r, or f - f^2 / 2)
are exact and not among them. A quotient P / Q is fitted as P - f (Q - 1) to f, its weight divided by the Q found
before, until Q stands still. Printed: the coefficients as hex floats, lowest power first, and the base-2 logarithm of
the weighted error that they reach after rounding.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mpmath  # type: ignore[import-untyped]
from mpmath import mp, mpf

mp.dps = 60
N_GRID = 600
N_EXCHANGES = 15
N_QUOTIENTS = 12
Real = Callable[[mpf], mpf]
Values = list[mpf]


@dataclass(frozen=True)
class Fit:
    """What is fitted: a polynomial of `powers`, or its quotient by 1 + one of powers 1 to `n_below`, on [low, high]."""

    target: Real
    weight: Real
    powers: Sequence[int]
    low: mpf
    high: mpf
    n_below: int = 0
    precision: int = 24


def solve(fit: Fit) -> tuple[Values, Values, mpf]:
    """Return the coefficients above and below, in the fit's format, and the largest weighted error."""
    grid = _grid(fit)
    targets, weights = [fit.target(x) for x in grid], [fit.weight(x) for x in grid]
    below_powers = range(1, fit.n_below + 1)
    basis = [[x**p for p in fit.powers] + [-f * x**p for p in below_powers] for x, f in zip(grid, targets, strict=True)]
    below: Values = []
    above: Values = []
    for _ in range(N_QUOTIENTS if fit.n_below else 1):
        scaled = [weight / _quotient_below(below, x) for weight, x in zip(weights, grid, strict=True)]
        found = _remez(basis, targets, scaled)
        above, below = found[: len(fit.powers)], found[len(fit.powers) :]
    above, below = ([_rounded(c, fit.precision) for c in part] for part in (above, below))
    errors = [
        weight * (sum(c * x**p for c, p in zip(above, fit.powers, strict=True)) / _quotient_below(below, x) - f)
        for x, f, weight in zip(grid, targets, weights, strict=True)
    ]
    return above, below, max(map(abs, errors))


def _quotient_below(below: Values, x: mpf) -> mpf:
    return 1 + sum(c * x ** (i + 1) for i, c in enumerate(below))


def _grid(fit: Fit) -> Values:
    """Return Chebyshev's points, dense at both ends; an even number, so that none is the middle."""
    middle, half = (fit.low + fit.high) / 2, (fit.high - fit.low) / 2
    return [middle - half * mpmath.cos(mp.pi * i / (N_GRID - 1)) for i in range(N_GRID)]


def _remez(basis: list[Values], targets: Values, weights: Values) -> Values:
    n = len(basis[0]) + 1
    # Even steps: the points are dense at the ends already.
    chosen = [round(i * (len(basis) - 1) / (n - 1)) for i in range(n)]
    coefficients: Values = []
    for _ in range(N_EXCHANGES):
        rows = [[*basis[i], (-1) ** k / weights[i]] for k, i in enumerate(chosen)]
        solved = mpmath.lu_solve(mpmath.matrix(rows), mpmath.matrix([targets[i] for i in chosen]))
        coefficients = list(solved)[:-1]
        errors = [
            weight * (sum(c * b for c, b in zip(coefficients, row, strict=True)) - target)
            for row, target, weight in zip(basis, targets, weights, strict=True)
        ]
        exchanged = _alternation(errors, n)
        if exchanged == chosen or len(exchanged) < n:
            break
        chosen = exchanged
    return coefficients


def _alternation(errors: Values, n: int) -> list[int]:
    """Return n points of alternating sign with the largest errors."""
    peaks: list[int] = []
    for i, error in enumerate(errors):
        if peaks and (error > 0) == (errors[peaks[-1]] > 0):
            if abs(error) > abs(errors[peaks[-1]]):
                peaks[-1] = i
        else:
            peaks.append(i)
    while len(peaks) > n:
        least = min(range(len(peaks)), key=lambda i: abs(errors[peaks[i]]))
        if len(peaks) == n + 1 or least in (0, len(peaks) - 1):
            del peaks[0 if abs(errors[peaks[0]]) < abs(errors[peaks[-1]]) else -1]
        else:
            # With its neighbour, so that the signs go on alternating.
            other = min(least - 1, least + 1, key=lambda i: abs(errors[peaks[i]]))
            del peaks[min(least, other) : max(least, other) + 1]
    return peaks


def _rounded(x: mpf, precision: int) -> mpf:
    with mp.workprec(precision):
        return +x


LN2 = mpmath.log(2)
# A little more than half a step: the reduction's own rounding can leave that much.
STEP = mpf("0.50025")
TINY = mpf(10) ** -20


def _half_erfcx(a: mpf) -> mpf:
    return mpmath.erfc(a / mpmath.sqrt(2)) * mpmath.exp(a * a / 2) / 2


FITS = {
    # e^r = 1 + r + r^2 (c0 + c1 r + ...): relative error.
    "exp": Fit(
        *(lambda r: (mpmath.expm1(r) - r) / r**2, lambda r: r**2 / mpmath.exp(r)),
        *(range(5), -LN2 * STEP, LN2 * STEP),
    ),
    # 2^r = 1 + ln2 r + r^2 (c0 + c1 r + ...) with float32's ln2: relative error.
    "exp2": Fit(
        lambda r: (mpmath.expm1(r * LN2) - _rounded(LN2, 24) * r) / r**2,
        *(lambda r: r**2 / mpf(2) ** r, range(5), -STEP, STEP),
    ),
    # log(1 + f) = f + f^2 (-1/2 + c0 f + c1 f^2 + ...): relative error.
    "log": Fit(
        *(lambda f: (mpmath.log1p(f) - f + f**2 / 2) / f**3, lambda f: f**3 / mpmath.log1p(f)),
        *(range(8), mpmath.sqrt(mpf(1) / 2) - 1, mpmath.sqrt(mpf(2)) - 1),
    ),
    # sin(r) = r + r^3 (c0 + c1 s + ...), s = r^2: relative error.
    "sin": Fit(
        lambda s: (mpmath.sin(mpmath.sqrt(s)) / mpmath.sqrt(s) - 1) / s,
        lambda s: s * mpmath.sqrt(s) / mpmath.sin(mpmath.sqrt(s)),
        *(range(3), TINY, (mp.pi * STEP / 2) ** 2),
    ),
    # cos(r) = 1 - s / 2 + s^2 (c0 + c1 s + ...), s = r^2: relative error.
    "cos": Fit(
        lambda s: (mpmath.cos(mpmath.sqrt(s)) - 1 + s / 2) / s**2,
        lambda s: s**2 / mpmath.cos(mpmath.sqrt(s)),
        *(range(3), TINY, (mp.pi * STEP / 2) ** 2),
    ),
    # erf(a) = 1 - e^-z, z = a + a (c0 + c1 a + ...): relative error of erf.
    "erf": Fit(
        lambda a: -mpmath.log(mpmath.erfc(a)) / a - 1,
        lambda a: a * mpmath.erfc(a) / mpmath.erf(a),
        *(range(9), TINY, mpf(4)),
    ),
    # log2(m) = s (c0 + c1 z + ...), s = (m - 1) / (m + 1), z = s^2, sqrt(1/2) <= m < sqrt(2): relative error; binary64.
    "pow_log2": Fit(
        lambda z: mpmath.log((1 + mpmath.sqrt(z)) / (1 - mpmath.sqrt(z)), 2) / mpmath.sqrt(z),
        lambda z: mpmath.sqrt(z) / mpmath.log((1 + mpmath.sqrt(z)) / (1 - mpmath.sqrt(z)), 2),
        *(range(6), TINY, ((mpmath.sqrt(2) - 1) / (mpmath.sqrt(2) + 1)) ** 2),
        precision=53,
    ),
    # 2^f = 1 + c0 f + c1 f^2 + ...: relative error; binary64.
    "pow_exp2": Fit(
        *(lambda f: mpmath.expm1(f * LN2) / f, lambda f: f / mpf(2) ** f, range(8), -mpf("0.5"), mpf("0.5")),
        precision=53,
    ),
    # erfc(a / sqrt 2) e^(a^2 / 2) / 2 = P / Q: relative error. Past 14.5 what it is a factor of has vanished.
    "half_erfcx": Fit(_half_erfcx, lambda a: 1 / _half_erfcx(a), range(5), TINY, mpf("14.5"), n_below=5),
}


def main(names: list[str]) -> None:
    """Print the coefficients of all fits, or of those named."""
    for name, fit in FITS.items():
        if not names or name in names:
            above, below, error = solve(fit)
            print(f"{name}: error 2^{float(mpmath.log(error, 2)):.2f}", flush=True)
            for part, coefficients in (("", above), ("Q: ", below)):
                for coefficient in coefficients:
                    print(f"  {part}{float(coefficient).hex()}")


if __name__ == "__main__":
    main(sys.argv[1:])
