"""Matrix products (N-04): one chain of fma per output."""

from __future__ import annotations

from collections.abc import Sequence

from samebits.numerics.oracle.binary32 import ZERO, add, fma


def mm(
    a: Sequence[Sequence[int]],
    b: Sequence[Sequence[int]],
    *,
    n: int,
    bias: Sequence[int] | None = None,
    onto: Sequence[Sequence[int]] | None = None,
) -> list[list[int]]:
    """Return the product of a [M, K] and b [K, N] (N-04).

    Args:
        n: N, which a b of no rows does not tell.
        bias: [N], added after the chain.
        onto: [M, N], what the finished product is added to.
    """
    return [[_output(a, b, bias, onto, i, j) for j in range(n)] for i in range(len(a))]


def _output(
    a: Sequence[Sequence[int]],
    b: Sequence[Sequence[int]],
    bias: Sequence[int] | None,
    onto: Sequence[Sequence[int]] | None,
    i: int,
    j: int,
) -> int:
    acc = ZERO
    for k in range(len(b)):
        acc = fma(a[i][k], b[k][j], acc)
    if bias is not None:
        acc = add(acc, bias[j])
    return acc if onto is None else add(onto[i][j], acc)
