"""How many rows one pass takes at a time, from a stated budget; nothing here reaches a bit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from samebits.data.dataset import TokenSample
from samebits.models.decoder import Decoder

MIB = 1 << 20
ITEM_BYTES = 4


@dataclasses.dataclass(frozen=True)
class PassPlan:
    """Rows of one pass, and whether every block keeps its activations or computes them again.

    `rows_per_sample` is the room of a sample's gradient, as so many rows.
    """

    n_rows: int
    keeps_activations: bool
    rows_per_sample: int = 0


EACH_ALONE = PassPlan(0, keeps_activations=True)
"""Each sample a pass of its own, and nothing computed twice."""


def plan_pass(
    model: Decoder, samples: Sequence[TokenSample], budget_mib: int, *, n_gradient_floats: int = 0
) -> PassPlan:
    """Return the plan for a step's samples: activations are kept if the longest sample's fit the budget.

    Args:
        n_gradient_floats: of one sample, where there are gradients.
    """
    longest = max(len(sample.input_ids) for sample in samples)
    kept, again = (
        _within(model, budget_mib, n_gradient_floats, keeps_activations=keeps_activations)
        for keeps_activations in (True, False)
    )
    plan = kept if kept.n_rows >= longest + kept.rows_per_sample else again
    # A sample that does not fit even so is a pass of its own: there is no smaller unit.
    return dataclasses.replace(plan, n_rows=max(plan.n_rows, longest + plan.rows_per_sample))


def _within(model: Decoder, budget_mib: int, n_gradient_floats: int, *, keeps_activations: bool) -> PassPlan:
    floats_per_row = model.floats_per_row(keeps_activations=keeps_activations)
    n_rows = budget_mib * MIB // (ITEM_BYTES * floats_per_row)
    return PassPlan(n_rows, keeps_activations, math.ceil(n_gradient_floats / floats_per_row))
