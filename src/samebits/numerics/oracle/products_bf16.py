"""Matrix products of bfloat16 (N-05): two chains per block of 32 steps, results below 2**-126 flushed to zero."""

from __future__ import annotations

from collections.abc import Sequence

from samebits.numerics.oracle.binary32 import INFINITY, PRECISION, SIGN, ZERO, add, fma, parts, rounded
from samebits.numerics.oracle.conversions import bf16_to_f32

BLOCK_K = 32
LEAST_NORMAL_EXPONENT = -126
ONE = 0x3F800000


def flushed(sign: int, mantissa: int, exponent: int) -> int:
    """Return (-1)**sign * mantissa * 2**exponent rounded to 24 bits whatever the exponent, then a zero if too small."""
    dropped = max(mantissa.bit_length() - PRECISION, 0)
    if dropped:
        remainder, half = mantissa & ((1 << dropped) - 1), 1 << (dropped - 1)
        mantissa >>= dropped
        mantissa += remainder > half or (remainder == half and mantissa & 1)
    exponent += dropped
    if exponent + mantissa.bit_length() - 1 < LEAST_NORMAL_EXPONENT:
        return SIGN * sign
    return rounded(sign, mantissa, exponent)


def without_subnormal(x: int) -> int:
    """Return x, or the zero of its sign if it is subnormal."""
    return x if x & INFINITY else x & SIGN


def flushing_fma(a: int, b: int, c: int) -> int:
    """Return a * b + c, rounded once, with subnormal operands and results flushed."""
    a, b, c = map(without_subnormal, (a, b, c))
    if any(x & INFINITY == INFINITY for x in (a, b, c)):
        return fma(a, b, c)
    (a_sign, a_mantissa, a_exponent), (b_sign, b_mantissa, b_exponent) = parts(a), parts(b)
    c_sign, c_mantissa, c_exponent = parts(c)
    product = (-1) ** (a_sign ^ b_sign) * a_mantissa * b_mantissa
    exponent = min(a_exponent + b_exponent, c_exponent)
    total = product << (a_exponent + b_exponent - exponent)
    total += (-1) ** c_sign * c_mantissa << (c_exponent - exponent)
    if total == 0:
        return fma(a, b, c)  # the sign of an exact zero is IEEE's
    return flushed(int(total < 0), abs(total), exponent)


def flushing_add(a: int, b: int) -> int:
    """Return a + b, flushed likewise."""
    return flushing_fma(a, ONE, b)


def chains(a: Sequence[int], b: Sequence[int]) -> int:
    """Return the sum of products of two vectors of bfloat16 patterns (N-05)."""
    acc = ZERO
    for start in range(0, len(a), BLOCK_K):
        even = odd = ZERO
        left, right = (
            [bf16_to_f32(x) for x in vector[start : start + BLOCK_K]] + [ZERO] * (start + BLOCK_K - len(vector))
            for vector in (a, b)
        )
        for p in range(BLOCK_K // 2):
            even = flushing_fma(left[2 * p], right[2 * p], even)
            odd = flushing_fma(left[2 * p + 1], right[2 * p + 1], odd)
        acc = flushing_add(acc, flushing_add(even, odd))
    return acc


def linear_bf16(
    a: Sequence[Sequence[int]],
    b: Sequence[Sequence[int]],
    *,
    n: int,
    bias: Sequence[int] | None = None,
    onto: Sequence[Sequence[int]] | None = None,
) -> list[list[int]]:
    """Return the product of a [M, K] and b [K, N], patterns of bfloat16, as patterns of float32 (N-05).

    Args:
        n: N, which a b of no rows does not tell.
        bias: [N] float32, added after the chains without flushing.
        onto: [M, N] float32, what the finished product is added to without flushing.
    """
    columns = [[row[j] for row in b] for j in range(n)]
    product = [[chains(row, column) for column in columns] for row in a]
    if bias is not None:
        product = [[add(x, y) for x, y in zip(row, bias, strict=True)] for row in product]
    if onto is not None:
        product = [[add(x, y) for x, y in zip(*rows, strict=True)] for rows in zip(onto, product, strict=True)]
    return product
