from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samebits.data.dataset import TokenSample
from samebits.models.pack import Part, Segment, cut_samples, pack_samples, pack_tokens, plan_packs


def _sample(index: int, ids: list[int], targets: set[int]) -> TokenSample:
    return TokenSample(index, index + 1, "text", tuple(ids), tuple(place in targets for place in range(len(ids))))


def test_samples_lie_end_to_end_without_what_no_target_needs() -> None:
    pack = pack_samples([_sample(9, [10, 11, 12, 13, 14], {2, 3}), _sample(4, [20, 21], {1})])
    # Token 13 is predicted and never read, nor is 14, which nothing predicts from.
    assert pack.token_ids.tolist() == [10, 11, 12, 20]
    assert pack.positions.tolist() == [0, 1, 2, 0]
    assert pack.segments == (Segment(0, 3, 9), Segment(3, 4, 4))
    assert pack.target_rows.tolist() == [1, 2, 3]
    assert pack.target_ids.tolist() == [12, 13, 21]
    assert pack.target_segments == (Segment(0, 2, 9), Segment(2, 3, 4))
    assert pack.segments[0].rows == slice(0, 3)
    assert {array.dtype for array in (pack.token_ids, pack.positions, pack.target_rows, pack.target_ids)} == {
        np.dtype(np.int64)
    }


@pytest.mark.parametrize("first", [0, 7])
def test_a_sequence_to_go_on_from_has_no_targets(first: int) -> None:
    pack = pack_tokens([3, 1, 4], first_position=first)
    assert pack.token_ids.tolist() == [3, 1, 4]
    assert pack.positions.tolist() == [first, first + 1, first + 2]
    assert pack.segments == (Segment(0, 3, 0),)
    assert (pack.target_rows.size, pack.target_ids.size, pack.target_segments) == (0, 0, (Segment(0, 0, 0),))


@given(st.lists(st.integers(2, 40), min_size=1, max_size=30), st.integers(1, 100))
def test_a_plan_keeps_every_sample_in_order_and_no_pack_is_too_long(lengths: list[int], n_rows: int) -> None:
    samples = [_sample(index, [0] * length, {length - 1}) for index, length in enumerate(lengths)]
    packs = plan_packs(samples, n_rows)
    assert [sample for pack in packs for sample in pack] == samples
    rows = [sum(len(sample.input_ids) for sample in pack) for pack in packs]
    assert all(n <= n_rows or len(pack) == 1 for n, pack in zip(rows, packs, strict=True))
    # Nor is one cut off early: the next sample would not have fitted.
    following = [len(pack[0].input_ids) for pack in packs[1:]]
    assert all(n + more > n_rows for n, more in zip(rows, following, strict=False))


def test_samples_are_cut_from_their_own_first_row_and_pieces_joined_while_there_is_room() -> None:
    segments = (Segment(0, 7, 30), Segment(7, 8, 10), Segment(8, 12, 20))
    assert cut_samples(segments, 3) == [
        Part(slice(0, 3), (Segment(0, 3, 30),), (0,)),
        Part(slice(3, 6), (Segment(0, 3, 30, 3),), (0,)),
        Part(slice(6, 8), (Segment(0, 1, 30, 6), Segment(1, 2, 10)), (0, 1)),
        Part(slice(8, 11), (Segment(0, 3, 20),), (2,)),
        Part(slice(11, 12), (Segment(0, 1, 20, 3),), (2,)),
    ]
    assert cut_samples(segments, 12) == [Part(slice(0, 12), segments, (0, 1, 2))]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20), st.integers(1, 50), st.data())
def test_what_is_beside_a_sample_never_moves_its_cuts(lengths: list[int], n_rows: int, data: st.DataObject) -> None:
    stops = np.cumsum(lengths).tolist()
    segments = [Segment(stop - n, stop, index) for index, (n, stop) in enumerate(zip(lengths, stops, strict=True))]
    parts = cut_samples(segments, n_rows)
    assert [row for part in parts for row in range(part.rows.start, part.rows.stop)] == list(range(stops[-1]))
    assert all(part.rows.stop - part.rows.start <= n_rows for part in parts)
    chosen = data.draw(st.integers(0, len(lengths) - 1))
    cuts = [
        (piece.first, piece.stop - piece.start)
        for part in parts
        for place, piece in zip(part.places, part.pieces, strict=True)
        if place == chosen
    ]
    (n,) = lengths[chosen : chosen + 1]
    assert cuts == [(first, min(n_rows, n - first)) for first in range(0, n, n_rows)]


def test_a_sample_may_take_more_room_than_its_tokens() -> None:
    samples = [_sample(index, [0] * 4, {3}) for index in range(5)]
    assert [len(pack) for pack in plan_packs(samples, 12)] == [3, 2]
    assert [len(pack) for pack in plan_packs(samples, 12, rows_per_sample=2)] == [2, 2, 1]
    assert [len(pack) for pack in plan_packs(samples, 12, rows_per_sample=9)] == [1] * 5
