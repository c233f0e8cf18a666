"""Each operand counts: its first element changed, another answer comes out. tests/spec holds the answers."""

from __future__ import annotations

import numpy as np
import pytest

from samebits.numerics import random
from samebits.numerics.canaries.canary import Canary, digest
from samebits.numerics.canaries.random import CANARIES, COLUMNS, DROPPED_FIRST, ROWS, STREAM, P
from samebits.numerics.dropout import threshold_and_scale


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name)
def test_every_operand_reaches_the_answer(canary: Canary) -> None:
    for place, operand in enumerate(canary.operands()):
        operands = list(canary.operands())
        if isinstance(operand, np.ndarray):
            operands[place].flat[0] = 1.0e30
        else:
            operands[place] += 1
        assert digest(canary.run(*operands)) != canary.sha256


def test_an_element_stands_at_the_threshold() -> None:
    """A kernel that drops it is caught by nothing else."""
    threshold, _ = threshold_and_scale(P)
    drawn = random.words(STREAM, ROWS * COLUMNS, first=DROPPED_FIRST)
    assert np.flatnonzero(drawn == threshold).tolist() == [262]
