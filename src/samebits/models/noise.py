"""Dropout of one pass: off in evaluation; in training a function of seed, step, sample and place (N-10, N-21)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from samebits.models.pack import Segment
from samebits.numerics.arrays import F32
from samebits.numerics.dropout import dropout
from samebits.numerics.random import Purpose, Stream


@dataclass(frozen=True)
class Noise:
    """What decides every mask of one optimizer step.

    Args:
        seed: of the recipe.
        step: optimizer updates made before this one; None: nothing is dropped.
        adapter_numbers: of each parameter among the sorted names of all that are trained.
        place_numbers: of each place inside the base that drops, among their sorted names.
    """

    seed: int
    step: int | None = None
    adapter_numbers: Mapping[str, int] = field(default_factory=dict)
    place_numbers: Mapping[str, int] = field(default_factory=dict)

    def drops(self, p: float) -> bool:
        """Whether a place with this probability drops anything in this pass."""
        return self.step is not None and p > 0

    def drop_input(self, x: F32, p: float, segments: Sequence[Segment], parameter: str) -> F32:
        """Return the rows that an adapter's A reads: `x` itself where nothing is dropped."""
        if not self.drops(p):
            return x
        return self._drop(x, np.empty(x.shape, dtype=np.float32), p, segments, parameter)

    def drop_gradient(self, dx: F32, p: float, segments: Sequence[Segment], parameter: str) -> F32:
        """Drop in place what `drop_input` dropped."""
        return self._drop(dx, dx, p, segments, parameter) if self.drops(p) else dx

    def drop_rows(self, x: F32, p: float, segments: Sequence[Segment], place: str, *, out: F32 | None = None) -> F32:
        """Drop rows inside the base; in place where `out` is `x`, and `x` itself where nothing is dropped."""
        if not self.drops(p):
            return x
        out = np.empty(x.shape, dtype=np.float32) if out is None else out
        for segment in segments:
            stream = self._stream(Purpose.BASE_DROPOUT, segment.sample, self.place_numbers[place])
            dropout(x[segment.rows], p, stream, out=out[segment.rows])
        return out

    def attention_stream(self, sample: int, layer: int) -> Stream:
        """Return the words that drop one sample's attention weights in one layer."""
        return self._stream(Purpose.ATTENTION_DROPOUT, sample, layer)

    def _drop(self, x: F32, out: F32, p: float, segments: Sequence[Segment], parameter: str) -> F32:
        for segment in segments:
            stream = self._stream(Purpose.DROPOUT, segment.sample, self.adapter_numbers[parameter])
            dropout(x[segment.rows], p, stream, first=segment.first * x.shape[1], out=out[segment.rows])
        return out

    def _stream(self, purpose: Purpose, sample: int, tensor: int) -> Stream:
        assert self.step is not None
        return Stream(self.seed, purpose, step=self.step, sample=sample, tensor=tensor)
