"""Samples laid end to end, without padding: what one pass of a model works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samebits.data.dataset import TokenSample

I64 = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Segment:
    """The rows of one sample: `start` to `stop` of a pack; `sample` is its row number in the dataset.

    Of a sample that is cut, `first` is which of its own rows stands at `start`.
    """

    start: int
    stop: int
    sample: int
    first: int = 0

    @property
    def rows(self) -> slice:
        """The rows as a slice."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Pack:
    """Samples end to end.

    `token_ids` and `positions` are [T]; `target_rows` [M] are the rows that predict a target, ascending, and
    `target_ids` [M] what they are to predict; `target_segments` say which of the M belong to each sample. A sample's
    rows end before its last target, which is predicted and never read (N-12).
    """

    segments: tuple[Segment, ...]
    token_ids: I64
    positions: I64
    target_rows: I64
    target_ids: I64
    target_segments: tuple[Segment, ...]


def pack_samples(samples: Sequence[TokenSample]) -> Pack:
    """Lay samples end to end, in order."""
    segments, target_segments = list[Segment](), list[Segment]()
    ids, positions, rows, targets = list[int](), list[int](), list[int](), list[int]()
    for sample in samples:
        places = [place for place, is_target in enumerate(sample.is_target) if is_target]
        start, first_target = len(ids), len(rows)
        ids += sample.input_ids[: places[-1]]
        positions += range(places[-1])
        rows += (start + place - 1 for place in places)
        targets += (sample.input_ids[place] for place in places)
        segments.append(Segment(start, len(ids), sample.index))
        target_segments.append(Segment(first_target, len(rows), sample.index))
    token_ids, own_positions, target_rows, target_ids = (
        np.array(column, dtype=np.int64) for column in (ids, positions, rows, targets)
    )
    return Pack(tuple(segments), token_ids, own_positions, target_rows, target_ids, tuple(target_segments))


def pack_tokens(token_ids: Sequence[int], *, first_position: int = 0) -> Pack:
    """Return a pack of one sequence without targets, as generation reads it."""
    ids = np.array(token_ids, dtype=np.int64)
    none = np.empty(0, dtype=np.int64)
    positions = np.arange(first_position, first_position + len(ids), dtype=np.int64)
    return Pack((Segment(0, len(ids), 0),), ids, positions, none, none, (Segment(0, 0, 0),))


@dataclass(frozen=True)
class Part:
    """Rows that are computed at once: pieces of samples, counted from the part's first row, and whose they are."""

    rows: slice
    pieces: tuple[Segment, ...]
    places: tuple[int, ...]


def cut_samples(segments: Sequence[Segment], n_rows: int) -> list[Part]:
    """Cut each sample after every `n_rows` of its own rows, and join what follows one another up to so many rows.

    So what is beside a sample never moves its cuts (N-12); which pieces share a part reaches no bit.

    Args:
        segments: of rows end to end.
    """
    parts: list[list[tuple[int, Segment]]] = []
    room = 0
    for place, whole in enumerate(segments):
        for start in range(whole.start, whole.stop, n_rows):
            piece = Segment(start, min(start + n_rows, whole.stop), whole.sample, start - whole.start)
            n = piece.stop - piece.start
            if n > room:
                parts.append([])
                room = n_rows
            parts[-1].append((place, piece))
            room -= n
    return [_part(part) for part in parts]


def _part(placed: Sequence[tuple[int, Segment]]) -> Part:
    places, pieces = zip(*placed, strict=True)
    origin = pieces[0].start
    moved = tuple(Segment(piece.start - origin, piece.stop - origin, piece.sample, piece.first) for piece in pieces)
    return Part(slice(origin, pieces[-1].stop), moved, places)


def plan_packs(samples: Sequence[TokenSample], n_rows: int, *, rows_per_sample: int = 0) -> list[Sequence[TokenSample]]:
    """Cut samples, in order, into packs of at most `n_rows` rows; a longer sample is a pack of its own.

    How they are cut reaches no bit (N-12).

    Args:
        rows_per_sample: what a sample takes beside its tokens, as so many rows.
    """
    packs: list[list[TokenSample]] = []
    room = 0
    for sample in samples:
        rows = len(sample.input_ids) + rows_per_sample
        if not packs or rows > room:
            packs.append([])
            room = n_rows
        packs[-1].append(sample)
        room -= rows
    return list(packs)
