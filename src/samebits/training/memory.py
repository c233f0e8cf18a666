"""How many rows one pass takes at a time, from a stated budget; nothing here reaches a bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from samebits.data.dataset import TokenSample
from samebits.models.decoder import Decoder

MIB = 1 << 20
ITEM_BYTES = 4


@dataclass(frozen=True)
class PassPlan:
    """Rows of one pass, and whether every block keeps its activations or computes them again."""

    n_rows: int
    keeps_activations: bool


def plan_pass(model: Decoder, samples: Sequence[TokenSample], budget_mib: int) -> PassPlan:
    """Return the plan for a step's samples: activations are kept if the longest sample's fit the budget."""
    budget_bytes = budget_mib * MIB
    longest = max(len(sample.input_ids) for sample in samples)
    rows_kept = budget_bytes // (ITEM_BYTES * model.floats_per_row(keeps_activations=True))
    if rows_kept >= longest:
        return PassPlan(rows_kept, keeps_activations=True)
    # A sample that does not fit even so is a pass of its own: there is no smaller unit.
    rows = budget_bytes // (ITEM_BYTES * model.floats_per_row(keeps_activations=False))
    return PassPlan(max(rows, longest), keeps_activations=False)
