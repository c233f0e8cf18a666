"""Which segments are drawn, how often, and what a checkpoint must be to start from."""

from __future__ import annotations

import shutil
from collections import Counter
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.errors import CheckpointError, UsageError
from samebits.record.checkpoint import read_checkpoint, write_checkpoint
from samebits.verify.recorded import Recorded, read_recorded
from samebits.verify.spots import Segment, choose, read_start, segments_of, unseen_chance


@pytest.fixture
def recorded(trained_run: Path, tmp_path: Path) -> Recorded:
    found = read_recorded(shutil.copytree(trained_run, tmp_path / "run"))
    assert isinstance(found, Recorded)
    return found


def test_segments_lie_between_checkpoints(recorded: Recorded) -> None:
    at = recorded.run.checkpoints
    assert segments_of(recorded) == [
        Segment(1, 2, None), Segment(3, 4, at / "step-00000002"), Segment(5, 6, at / "step-00000004"),
    ]  # fmt: skip


def test_a_checkpoint_that_is_gone_joins_two_segments(recorded: Recorded) -> None:
    shutil.rmtree(recorded.run.checkpoints / "step-00000002")
    assert [(segment.first, segment.last) for segment in segments_of(recorded)] == [(1, 4), (5, 6)]


def test_checkpoints_outside_the_run_cut_nothing(recorded: Recorded) -> None:
    for name in ("step-00000000", "step-00000006", "step-99999999", "step-3"):
        (recorded.run.checkpoints / name).mkdir()
    assert len(segments_of(recorded)) == 3


def test_each_set_of_segments_is_equally_likely_whatever_their_lengths() -> None:
    segments = [Segment(1, 1, None), Segment(2, 90, None), Segment(91, 92, None), Segment(93, 99, None)]
    drawn = Counter(choose(segments, 2, f"seed {number}").segments for number in range(6000))
    assert drawn.keys() == set(combinations(segments, 2))
    # 1000 each; 150 is five standard deviations.
    assert all(abs(n - 1000) < 150 for n in drawn.values())


def test_a_seed_repeats_the_choice_and_none_draws_anew() -> None:
    segments = [Segment(n, n, None) for n in range(1, 101)]
    assert choose(segments, 3, "a") == choose(segments, 3, "a") != choose(segments, 3, "b")
    assert [segment.first for segment in choose(segments, 3, "a").segments] == [2, 58, 84]
    drawn = choose(segments, 3)
    assert choose(segments, 3, drawn.seed) == drawn
    assert len({choose(segments, 3).seed for _ in range(5)}) == 5


def test_more_than_there_are_is_all() -> None:
    segments = [Segment(n, n, None) for n in range(1, 4)]
    choice = choose(segments, 9, "a")
    assert (list(choice.segments), choice.unseen) == (segments, 0)


@pytest.mark.parametrize(("n", "seed"), [(0, None), (-1, None), (1, ""), (1, "x" * 129)])
def test_a_choice_that_is_none_is_refused(n: int, seed: str | None) -> None:
    with pytest.raises(UsageError, match="must"):
        choose([Segment(1, 1, None)], n, seed)


def test_the_chance_is_counted() -> None:
    for n_segments in range(1, 8):
        for n_chosen in range(n_segments + 1):
            draws = list(combinations(range(n_segments), n_chosen))
            for n_cheated in range(1, n_segments + 1):
                unseen = sum(not set(draw) & set(range(n_cheated)) for draw in draws)
                assert unseen_chance(n_segments, n_chosen, n_cheated) == Fraction(unseen, len(draws))
    assert unseen_chance(20, 1) == Fraction(19, 20)


def test_a_whole_checkpoint_is_read(recorded: Recorded) -> None:
    assert read_start(recorded, segments_of(recorded)[1]).step == 2


def _rewritten(recorded: Recorded, change: Any) -> Segment:
    """Change a checkpoint and make its manifest anew, as a forger would."""
    path = recorded.run.checkpoints / "step-00000002"
    checkpoint = read_checkpoint(path, recorded.recipe_sha256)
    tensors = dict(checkpoint.tensors)
    change(tensors)
    shutil.rmtree(path)
    write_checkpoint(recorded.run, 2, tensors, checkpoint.state, recipe_sha256=recorded.recipe_sha256)
    return segments_of(recorded)[1]


def _flip(prefix: str) -> Any:
    def change(tensors: dict[str, Any]) -> None:
        name = min(name for name in tensors if name.startswith(prefix))
        tensors[name].view(np.uint8).reshape(-1)[0] ^= 1

    return change


def _rename(tensors: dict[str, Any]) -> None:
    name = min(name for name in tensors if name.startswith("parameter."))
    tensors["parameter.other"] = tensors.pop(name)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_flip("parameter."), "parameters"),
        (_flip("exp_avg."), "optimizer state"),
        (_flip("exp_avg_sq."), "optimizer state"),
        (_flip("trace_bytes"), "trace"),
        (_rename, "parameters"),
        (lambda tensors: tensors.pop("trace_bytes"), "trace"),
        (lambda tensors: tensors.update(trace_bytes=tensors["trace_bytes"][:-1]), "trace"),
    ],
)
def test_a_forged_checkpoint_is_refused(recorded: Recorded, change: Any, fault: str) -> None:
    with pytest.raises(CheckpointError, match=f"{fault} must be what the golden trace tells"):
        read_start(recorded, _rewritten(recorded, change))


def test_a_checkpoint_of_no_adapters_size_is_not_read(recorded: Recorded) -> None:
    path = recorded.run.checkpoints / "step-00000002" / "tensors.safetensors"
    with path.open("r+b") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(CheckpointError, match=r"at most .* bytes, got 1099511627776"):
        read_start(recorded, segments_of(recorded)[1])
