"""Each operand counts: its first element changed, another answer comes out. tests/spec holds the answers."""

from __future__ import annotations

import numpy as np
import pytest

from samebits.numerics.canaries.canary import Canary, digest
from samebits.numerics.canaries.rotary import CANARIES


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name)
def test_every_operand_reaches_the_answer(canary: Canary) -> None:
    assert canary.actual_sha256() == canary.sha256
    for place, operand in enumerate(canary.operands()):
        operands = list(canary.operands())
        if isinstance(operand, np.ndarray):
            operands[place].flat[0] = 1.0e30
        else:
            operands[place] = operand + 1
        assert digest(canary.run(*operands)) != canary.sha256
