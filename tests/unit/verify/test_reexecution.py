"""Steps that are executed again: in order, once, from the right state, and told as they go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from samebits.verify.recorded import Recorded, read_recorded
from samebits.verify.reexecution import Listener, Reexecution
from samebits.verify.spots import segments_of


class Ear(Listener):
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_start(self, n_steps: int) -> None:
        self.heard.append(n_steps)

    def on_step(self) -> None:
        self.heard.append("step")


@pytest.fixture
def recorded(trained_run: Path) -> Recorded:
    found = read_recorded(trained_run)
    assert isinstance(found, Recorded)
    return found


def run(recorded: Recorded, replay: Any, numbers: list[int]) -> tuple[Reexecution, list[int], list[Any]]:
    restored, listener = [], Ear()
    restore = replay.restore

    def noted(checkpoint: Any, where: str) -> None:
        restored.append(checkpoint.step)
        restore(checkpoint, where)

    replay.restore = noted
    execution = Reexecution(recorded, replay, keep_going=False, listener=listener)
    execution.run([segments_of(recorded)[number] for number in numbers], None)
    return execution, restored, listener.heard


@pytest.mark.parametrize(
    ("numbers", "executed", "restored"),
    [
        ([0], [(1, 2)], []),
        ([1], [(3, 4)], [2]),
        ([0, 2], [(1, 2), (5, 6)], [4]),
        # A state that was just computed is gone on from: no checkpoint is needed.
        ([0, 1, 2], [(1, 2), (3, 4), (5, 6)], []),
        ([1, 2], [(3, 4), (5, 6)], [2]),
    ],
)
def test_segments_start_from_their_state(
    recorded: Recorded, replay: Any, numbers: list[int], executed: list[Any], restored: list[int]
) -> None:
    execution, found, heard = run(recorded, replay, numbers)
    assert (execution.executed, found, execution.differences) == (executed, restored, [])
    assert heard == [2 * len(numbers), *["step"] * (2 * len(numbers))]
    assert (execution.comparison is not None) == (numbers[-1] == 2)
