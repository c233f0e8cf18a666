"""Random words and what is made of them, one element at a time (N-10, N-21, N-22, N-23)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from samebits.numerics.oracle.binary32 import ONE, ZERO, mul, rounded, sub

WORD = 2**32


@dataclass(frozen=True)
class Fields:
    """What names a word, but for its element (N-10)."""

    seed: int
    purpose: int
    step: int = 0
    sample: int = 0
    tensor: int = 0
    version: int = 1


def philox(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    """Return the four words of a counter (N-10)."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        left, right = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = right // WORD ^ c1 ^ k0, right % WORD, left // WORD ^ c3 ^ k1, left % WORD
        k0, k1 = (k0 + 0x9E3779B9) % WORD, (k1 + 0xBB67AE85) % WORD
    return c0, c1, c2, c3


def word(fields: Fields, element: int) -> int:
    """Return an element's word (N-10)."""
    block, place = divmod(element, 4)
    c2 = block // WORD * 2**24 + fields.step
    c3 = fields.version * 2**24 + fields.purpose * 2**16 + fields.tensor
    key = (fields.seed % WORD, fields.seed // WORD)
    return philox((block % WORD, fields.sample, c2, c3), key)[place]


def dropout(x: int, drawn: int, p: Fraction) -> int:
    """Return x dropped or scaled, by its word (N-21)."""
    if p == 0:
        return x
    return kept_or_zero(x, drawn, p * WORD // 1, nearest(1 / (1 - p))) if p < 1 else ZERO


def kept_or_zero(x: int, drawn: int, threshold: int, factor: int) -> int:
    """Return x scaled where its word is not below the threshold, else +0 (N-21)."""
    return mul(x, factor) if drawn >= threshold else ZERO


def uniform(drawn: int, n_columns: int) -> int:
    """Return an element of a matrix with so many columns (N-22)."""
    return between(drawn, nearest_inverse_root(n_columns))


def between(drawn: int, bound: int) -> int:
    """Return the number from -bound to below bound that a word draws (N-22)."""
    return mul(sub(mul(rounded(0, drawn // 2**8, 0), rounded(0, 1, -23)), ONE), bound)


def nearest(x: Fraction) -> int:
    """Return the float32 nearest to x."""
    # 64 bits more than a float32 has, and a last one that says whether anything is left.
    shift = max(0, x.denominator.bit_length() - x.numerator.bit_length() + 90)
    quotient, rest = divmod(abs(x.numerator) << shift, x.denominator)
    return rounded(int(x < 0), quotient * 2 + (rest != 0), -shift - 1)


def nearest_inverse_root(n: int) -> int:
    """Return the float32 nearest to 1 / sqrt(n): the last whose square, times n, is not above 1, or its neighbour."""

    def square(pattern: Fraction) -> Fraction:
        return pattern * pattern * n

    low, high = ZERO, ONE
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if square(number(middle)) <= 1 else (low, middle)
    if square(number(high)) <= 1:
        return high
    return low if square((number(low) + number(high)) / 2) > 1 else high


def number(pattern: int) -> Fraction:
    """Return the value of a normal or zero float32 that is not negative."""
    biased, fraction = pattern >> 23, pattern & 0x7FFFFF
    return (fraction + 2**23) * Fraction(2) ** (biased - 150) if biased else Fraction(fraction, 2**149)
