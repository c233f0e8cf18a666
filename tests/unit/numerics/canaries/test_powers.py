"""Each operand counts: its first element changed, another answer comes out. tests/spec holds the answers."""

from __future__ import annotations

import numpy as np
import pytest

from samebits.numerics.canaries.canary import Canary, digest
from samebits.numerics.canaries.powers import CANARIES


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name)
def test_every_operand_reaches_the_answer(canary: Canary) -> None:
    for place, operand in enumerate(canary.operands()):
        if isinstance(operand, np.ndarray):
            operands = list(canary.operands())
            operands[place].flat[0] = 1.0e30
            assert digest(canary.run(*operands)) != canary.sha256
    assert not np.isnan(canary.run(*canary.operands())).any()
