from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from samebits.models.noise import Noise
from samebits.models.pack import Segment
from samebits.numerics.dropout import dropout
from samebits.numerics.random import Purpose, Stream

pytestmark = pytest.mark.usefixtures("native_libraries")

NUMBERS = {"a": 0, "b": 1}
SEGMENTS = (Segment(0, 5, 17), Segment(5, 8, 3))
ONES = np.ones((8, 64), dtype=np.float32)


def _noise(seed: int = 1, step: int | None = 4) -> Noise:
    return Noise(seed, step, NUMBERS, {"x": 0, "y": 1})


def _rows(noise: Noise, segments: Sequence[Segment] = SEGMENTS, parameter: str = "a") -> np.ndarray[Any, Any]:
    return noise.drop_input(np.ones((segments[-1].stop, 64), dtype=np.float32), 0.5, segments, parameter)


def test_off_in_evaluation_and_where_nothing_is_dropped() -> None:
    for noise, p in ((_noise(step=None), 0.5), (_noise(), 0.0)):
        assert not noise.drops(p)
        assert noise.drop_input(ONES, p, SEGMENTS, "a") is ONES
        assert noise.drop_gradient(ONES, p, SEGMENTS, "a") is ONES
        assert noise.drop_rows(ONES, p, SEGMENTS, "x") is ONES
    assert _noise(step=0).drops(0.1)
    assert ONES.all()


def test_the_words_are_those_of_the_clause() -> None:
    """N-10 and N-21: seed, purpose, step, sample and tensor; rows count from the sample's own beginning."""
    expected = [
        dropout(ONES[:n], 0.5, Stream(1, Purpose.DROPOUT, step=4, sample=sample, tensor=1))
        for n, sample in ((5, 17), (3, 3))
    ]
    assert _rows(_noise(), parameter="b").tobytes() == np.concatenate(expected).tobytes()
    places = _noise().drop_rows(ONES, 0.5, SEGMENTS[:1], "y")
    stream = Stream(1, Purpose.BASE_DROPOUT, step=4, sample=17, tensor=1)
    assert places[:5].tobytes() == dropout(ONES[:5], 0.5, stream).tobytes()
    assert _noise().attention_stream(17, 2) == Stream(1, Purpose.ATTENTION_DROPOUT, step=4, sample=17, tensor=2)


def test_the_same_in_forward_and_backward() -> None:
    assert _rows(_noise()).tobytes() == _rows(_noise()).tobytes()
    gradient = ONES.copy()
    assert _noise().drop_gradient(gradient, 0.5, SEGMENTS, "a") is gradient
    assert gradient.tobytes() == _rows(_noise()).tobytes()
    rows = ONES.copy()
    assert _noise().drop_rows(rows, 0.5, SEGMENTS, "x", out=rows) is rows
    assert rows.tobytes() == _noise().drop_rows(ONES, 0.5, SEGMENTS, "x").tobytes()
    assert ONES.all()


@pytest.mark.parametrize("other", [{"seed": 2}, {"step": 5}, {"step": 0}])
def test_another_seed_or_step_gives_another_mask(other: dict[str, int]) -> None:
    assert _rows(_noise(**other)).tobytes() != _rows(_noise()).tobytes()


def test_another_sample_tensor_or_place_gives_another_mask() -> None:
    same = _rows(_noise())
    assert _rows(_noise(), parameter="b").tobytes() != same.tobytes()
    assert _rows(_noise(), (Segment(0, 5, 18), SEGMENTS[1]))[:5].tobytes() != same[:5].tobytes()
    x, y = (_noise().drop_rows(ONES, 0.5, SEGMENTS, place) for place in ("x", "y"))
    assert x.tobytes() != y.tobytes()
    # An adapter's words are no place's, though both are number 0 of their kind.
    assert x.tobytes() != same.tobytes()


def test_where_a_sample_lies_and_what_lies_around_it_do_not_move_its_mask() -> None:
    together = _rows(_noise())
    alone = _rows(_noise(), (Segment(0, 3, 3),))
    turned = _rows(_noise(), (Segment(0, 3, 3), Segment(3, 8, 17)))
    assert together[5:].tobytes() == alone.tobytes() == turned[:3].tobytes()
    assert together[:5].tobytes() == turned[3:].tobytes()
    # A piece from the middle counts on.
    pieces = (Segment(0, 2, 17), Segment(2, 5, 17, 2), Segment(5, 8, 3))
    assert _rows(_noise(), pieces).tobytes() == together.tobytes()
    assert _rows(_noise(), (Segment(0, 3, 17, 2),)).tobytes() == together[2:5].tobytes()
    # A sample that is cut shorter keeps the mask of its first rows.
    assert _rows(_noise(), (Segment(0, 2, 3),)).tobytes() == alone[:2].tobytes()


def test_kept_elements_are_scaled_and_about_as_many_as_asked_for() -> None:
    wide = np.ones((100, 1000), dtype=np.float32)
    dropped = _noise().drop_rows(wide, 0.2, (Segment(0, 100, 1),), "x")
    assert set(np.unique(dropped).tolist()) == {0.0, 1.25}
    assert abs((dropped == 0).mean() - 0.2) < 0.01
