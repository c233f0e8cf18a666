from __future__ import annotations

from collections.abc import Sequence

import pytest

from samebits.data.dataset import TokenSample
from samebits.models.families import AdaptedModel
from samebits.training.memory import ITEM_BYTES, MIB, PassPlan, plan_pass


class Sizes:
    """A model of which only this is asked."""

    def floats_per_row(self, *, keeps_activations: bool) -> int:
        return 4096 if keeps_activations else 1024


def _sample(n: int) -> TokenSample:
    return TokenSample(0, 1, "text", (0,) * n, (False,) * (n - 1) + (True,))


@pytest.mark.parametrize(
    ("longest", "budget_mib", "plan"),
    [
        # A kept row is 16 KiB here, another one 4 KiB.
        (64, 1, PassPlan(64, keeps_activations=True)),
        (65, 1, PassPlan(256, keeps_activations=False)),
        (257, 1, PassPlan(257, keeps_activations=False)),
        (65, 2, PassPlan(128, keeps_activations=True)),
        (65, 2048, PassPlan(131072, keeps_activations=True)),
    ],
)
def test_activations_are_kept_where_the_longest_sample_fits(longest: int, budget_mib: int, plan: PassPlan) -> None:
    assert plan_pass(Sizes(), [_sample(3), _sample(longest), _sample(9)], budget_mib) == plan  # type: ignore[arg-type]


@pytest.mark.parametrize("budget_mib", [1, 3, 16, 2048])
def test_a_plan_keeps_to_its_budget_but_for_one_sample(
    budget_mib: int, adapted: AdaptedModel, samples: Sequence[TokenSample]
) -> None:
    plan = plan_pass(adapted.model, samples, budget_mib)
    n_bytes = plan.n_rows * ITEM_BYTES * adapted.model.floats_per_row(keeps_activations=plan.keeps_activations)
    assert n_bytes <= budget_mib * MIB or plan.n_rows == max(len(sample.input_ids) for sample in samples)
    assert plan.n_rows >= max(len(sample.input_ids) for sample in samples)
