"""Each operand counts: its first element changed, another answer comes out. tests/spec holds the answers."""

from __future__ import annotations

import numpy as np
import pytest

from samebits.numerics.canaries.canary import Canary, digest
from samebits.numerics.canaries.functions import CANARIES


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name)
def test_every_operand_reaches_the_answer(canary: Canary) -> None:
    for place, operand in enumerate(canary.operands()):
        if isinstance(operand, np.ndarray):
            # Every element in turn of the first few: one of a function that is flat there may change nothing.
            changed = 0
            for element in range(20):
                operands = list(canary.operands())
                operands[place].flat[element] = -operands[place].flat[element] * np.float32(1.5)
                changed += digest(canary.run(*operands)) != canary.sha256
            assert changed


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name)
def test_no_answer_is_a_nan(canary: Canary) -> None:
    assert not np.isnan(canary.run(*canary.operands())).any()
