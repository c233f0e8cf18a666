"""The canaries' constants are the oracle's."""

from __future__ import annotations

import pytest

from samebits.numerics.canaries.canary import Canary
from samebits.numerics.canaries.check import CANARIES
from samebits.numerics.ops import OPS


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name)
def test_every_canary_is_what_the_oracle_computes(canary: Canary) -> None:
    assert canary.expected_sha256() == canary.sha256


def test_every_clause_of_the_table_has_a_canary() -> None:
    assert {op.clause for op in OPS} <= {canary.clause for canary in CANARIES}
