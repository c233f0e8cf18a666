"""Attention (N-16), one number at a time; heads, rows and keys as nested lists of 32-bit patterns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce

from samebits.numerics.oracle.binary32 import MINUS_INFINITY, MINUS_ZERO, ONE, ZERO, add, div, fma, maximum, mul, sub
from samebits.numerics.oracle.functions import exp
from samebits.numerics.oracle.reductions import N_LANES, dot

Row = Sequence[int]
Array = Sequence[Sequence[Row]]


@dataclass
class Attention:
    """Operands [tokens][heads][D]; the first query stands at position `first`."""

    q: Array
    k: Array
    v: Array
    scale: int
    causal: bool = True
    window: int | None = None
    first: int = 0
    # Whether the weight of key j for the query at position i in head h is kept: kept(h, i, j), and the factor then.
    kept: Callable[[int, int, int], bool] | None = None
    keep_scale: int = ONE
    _weights: dict[tuple[int, int], tuple[dict[int, int], int, int]] = field(default_factory=dict, init=False)

    def seen(self, row: int) -> list[int]:
        """Return the keys that a query sees, ascending."""
        i = self.first + row
        return [j for j in range(len(self.k)) if self._sees(i, j)]

    def _sees(self, i: int, j: int) -> bool:
        return not self.causal or (j <= i and (self.window is None or i - j < self.window))

    def heads(self) -> range:
        """Return all heads."""
        return range(len(self.q[0]))

    def shared(self, head: int) -> int:
        """Return the head of keys and values that a head of queries uses."""
        return head // (len(self.q[0]) // len(self.k[0]))

    def weights(self, head: int, row: int) -> tuple[dict[int, int], int, int]:
        """Return exp(s - m) of each key seen, m, and their sum."""
        if (head, row) not in self._weights:
            query, keys = self.q[row][head], [token[self.shared(head)] for token in self.k]
            scores = {j: mul(chain(zip(query, keys[j], strict=True)), self.scale) for j in self.seen(row)}
            greatest = fold(maximum, MINUS_INFINITY, scores)
            exponentials = {j: exp(sub(score, greatest)) for j, score in scores.items()}
            self._weights[head, row] = exponentials, greatest, fold(add, MINUS_ZERO, exponentials)
        return self._weights[head, row]

    def keeps(self, head: int, row: int, j: int) -> bool:
        """Tell whether a weight is not dropped."""
        return self.kept is None or self.kept(head, self.first + row, j)

    def kept_weights(self, head: int, row: int) -> dict[int, int]:
        """Return exp(s - m), +0 where it is dropped."""
        exponentials = self.weights(head, row)[0]
        return {j: e if self.keeps(head, row, j) else ZERO for j, e in exponentials.items()}

    def normalized(self, x: int, total: int) -> int:
        """Return x divided by its row's sum, and scaled for dropout."""
        x = div(x, total)
        return x if self.kept is None else mul(x, self.keep_scale)

    def forward(self) -> list[list[list[int]]]:
        """Return the outputs [n_queries][n_heads][D]."""
        return [[self._output(head, row) for head in self.heads()] for row in range(len(self.q))]

    def _output(self, head: int, row: int) -> list[int]:
        weights, total = self.kept_weights(head, row), self.weights(head, row)[2]
        values = [token[self.shared(head)] for token in self.v]
        sums = [chain((w, values[j][c]) for j, w in weights.items()) for c in range(len(self.q[0][0]))]
        return [self.normalized(x, total) for x in sums]

    def statistics(self) -> list[list[list[int]]]:
        """Return maxima and sums, [2][n_heads][n_queries]."""
        rows = range(len(self.q))
        maxima = [[self.weights(h, row)[1] for row in rows] for h in self.heads()]
        return [maxima, [[self.weights(h, row)[2] for row in rows] for h in self.heads()]]


def backward(attention: Attention, dout: Array) -> tuple[list[list[list[int]]], ...]:
    """Return dq, dk and dv, as q, k and v are laid out."""
    a, d, out = attention, len(attention.q[0][0]), attention.forward()
    rows, width = range(len(a.q)), range(d)
    weights = [[a.kept_weights(h, i) for h in a.heads()] for i in rows]
    gradients = [[[a.normalized(x, a.weights(h, i)[2]) for x in dout[i][h]] for h in a.heads()] for i in rows]
    ds = [[_score_gradients(a, h, i, gradients[i][h], dout[i][h], out[i][h]) for h in a.heads()] for i in rows]

    def dq(h: int, i: int, c: int) -> int:
        return mul(chain((x, a.k[j][a.shared(h)][c]) for j, x in ds[i][h].items()), a.scale)

    def dk(h: int, j: int, c: int) -> int:
        return chain((ds[i][h][j], a.q[i][h][c]) for i in rows if j in ds[i][h])

    def dv(h: int, j: int, c: int) -> int:
        return chain((weights[i][h][j], gradients[i][h][c]) for i in rows if j in ds[i][h])

    def over_group(of_head: Callable[[int, int, int], int], g: int, j: int, c: int) -> int:
        return reduce(add, [of_head(h, j, c) for h in a.heads() if a.shared(h) == g])

    keys, groups = range(len(a.k)), range(len(a.k[0]))
    return (
        [[[dq(h, i, c) for c in width] for h in a.heads()] for i in rows],
        [[[mul(over_group(dk, g, j, c), a.scale) for c in width] for g in groups] for j in keys],
        [[[over_group(dv, g, j, c) for c in width] for g in groups] for j in keys],
    )


def _score_gradients(a: Attention, head: int, row: int, gradient: Row, dout: Row, out: Row) -> dict[int, int]:
    exponentials, _, total = a.weights(head, row)
    term = div(dot(dout, out), total)
    ds = {}
    for j, e in exponentials.items():
        dp = chain(zip(gradient, a.v[j][a.shared(head)], strict=True)) if a.keeps(head, row, j) else ZERO
        ds[j] = mul(e, sub(dp, term))
    return ds


def chain(pairs: Iterable[tuple[int, int]]) -> int:
    """Return the pairs' products, added up by fma from +0."""
    acc = ZERO
    for x, y in pairs:
        acc = fma(x, y, acc)
    return acc


def fold(step: Callable[[int, int], int], empty: int, elements: dict[int, int]) -> int:
    """Fold elements by their numbers into the lanes of N-07, and the lanes into one."""
    lanes = [empty] * N_LANES
    for number, element in elements.items():
        lanes[number % N_LANES] = step(lanes[number % N_LANES], element)
    half = N_LANES // 2
    while half:
        lanes = [step(lanes[number], lanes[number + half]) for number in range(half)]
        half //= 2
    return lanes[0]
