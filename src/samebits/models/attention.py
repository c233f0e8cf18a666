"""Attention over the samples of a pack, each by itself, and the keys and values that generation keeps (N-16)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from samebits.models.noise import Noise
from samebits.models.pack import Segment
from samebits.numerics import observation
from samebits.numerics.arrays import F32
from samebits.numerics.attention import Sight, attention, attention_backward
from samebits.numerics.host_scalars import nearest_f32, settled, square_root


@dataclass(frozen=True)
class AttentionShape:
    """What one layer's attention is: its number, the factor of scores, a sliding window or None, dropout, its name."""

    layer: int
    scale: float
    window: int | None
    dropout: float
    name: str = ""

    def sight(self, sample: int, noise: Noise, *, first: int = 0) -> Sight:
        """Return who sees whom in one sample; `first` is the position of its first query."""
        if not noise.drops(self.dropout):
            return Sight(self.scale, window=self.window, first=first)
        stream = noise.attention_stream(sample, self.layer)
        return Sight(self.scale, window=self.window, first=first, dropout=self.dropout, stream=stream)


@dataclass(frozen=True)
class AttentionKept:
    """What the backward pass reads: queries, keys, values and outputs [T, heads, D], each sample's row statistics."""

    q: F32
    k: F32
    v: F32
    out: F32
    statistics: tuple[F32, ...]

    @property
    def rows(self) -> F32:
        """The outputs as rows, [T, heads * D]."""
        return self.out.reshape(len(self.out), -1)


class KeyValues:
    """The keys and values of one layer's earlier positions, of one sequence.

    Args:
        n_positions: room for so many.
        shape: (key heads, D).
    """

    def __init__(self, n_positions: int, shape: tuple[int, int]) -> None:
        self._k, self._v = (np.empty((n_positions, *shape), dtype=np.float32) for _ in range(2))
        self.n = 0

    def extend(self, k: F32, v: F32) -> tuple[F32, F32]:
        """Append the rows of new positions; return all so far."""
        start, self.n = self.n, self.n + len(k)
        self._k[start : self.n], self._v[start : self.n] = k, v
        return self._k[: self.n], self._v[: self.n]


def inverse_root(n: int) -> float:
    """Return 1 / sqrt(n), rounded once to float32: the usual factor of scores."""
    exact = (Fraction(1, n),) * 2
    return settled(lambda bits: square_root(exact, bits), nearest_f32)


@observation.forward
def attend(
    shape: AttentionShape,
    q: F32,
    k: F32,
    v: F32,
    segments: Sequence[Segment],
    noise: Noise,
    cache: KeyValues | None = None,
) -> AttentionKept:
    """Let each sample's queries see its own keys.

    Args:
        q: [T, heads, D]; k and v: [T, key heads, D].
        cache: of the one sequence that is generated; its keys come before these.
    """
    out = np.empty(q.shape, dtype=np.float32)
    if cache is not None:
        first = cache.n
        keys, values = cache.extend(k, v)
        attention(q, keys, values, shape.sight(0, noise, first=first), out=out)
        return AttentionKept(q, k, v, out, ())
    statistics = []
    for segment in segments:
        rows = segment.rows
        kept = np.empty((2, q.shape[1], segment.stop - segment.start), dtype=np.float32)
        attention(q[rows], k[rows], v[rows], shape.sight(segment.sample, noise), out=out[rows], statistics=kept)
        statistics.append(kept)
    return AttentionKept(q, k, v, out, tuple(statistics))


@observation.backward
def attend_backward(
    shape: AttentionShape,
    d_rows: F32,
    kept: AttentionKept,
    d_qkv: tuple[F32, F32, F32],
    segments: Sequence[Segment],
    noise: Noise,
) -> None:
    """Write the gradients of queries, keys and values.

    Args:
        d_rows: gradient of `kept.rows`.
        d_qkv: [T, heads, D] and twice [T, key heads, D]; written.
    """
    d_out = d_rows.reshape(kept.out.shape)
    for segment, statistics in zip(segments, kept.statistics, strict=True):
        rows = segment.rows
        dq, dk, dv = (gradient[rows] for gradient in d_qkv)
        d_rows_out, q, k, v, out = (array[rows] for array in (d_out, kept.q, kept.k, kept.v, kept.out))
        sight = shape.sight(segment.sample, noise)
        attention_backward(d_rows_out, q, k, v, out, statistics, sight, dq=dq, dk=dk, dv=dv)
