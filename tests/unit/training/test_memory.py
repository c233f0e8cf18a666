from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from samebits.data.dataset import TokenSample
from samebits.models.decoder import HEAD_ROWS
from samebits.models.families import AdaptedModel, adapt
from samebits.models.inputs import find_inputs
from samebits.models.noise import Noise
from samebits.models.pack import pack_samples, plan_packs
from samebits.recipe.settings import Settings
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


@pytest.mark.parametrize(
    ("n_gradient_floats", "plan"),
    [
        # 64 rows are kept where 4096 floats are one row.
        (4096 * 4, PassPlan(64, keeps_activations=True, rows_per_sample=4)),
        (4096 * 4 + 1, PassPlan(256, keeps_activations=False, rows_per_sample=17)),
        (1024 * 300, PassPlan(360, keeps_activations=False, rows_per_sample=300)),
    ],
)
def test_a_samples_gradient_takes_room_too(n_gradient_floats: int, plan: PassPlan) -> None:
    found = plan_pass(Sizes(), [_sample(60)], 1, n_gradient_floats=n_gradient_floats)  # type: ignore[arg-type]
    assert found == plan


@pytest.mark.parametrize("targets", ["all-linear", "lm_head"])
@pytest.mark.parametrize("rank", [4, 512])
@pytest.mark.parametrize("budget_mib", [1, 4, 16, 64])
def test_a_pass_takes_no_more_memory_than_its_budget_but_for_one_sample(
    budget_mib: int, rank: int, targets: str, portable: Callable[..., Settings], samples: Sequence[TokenSample]
) -> None:
    """All that NumPy allocates is counted, the gradients among it; what the head has of 128 rows comes on top."""
    settings = portable(lora_r=rank, lora_target_modules=[targets])
    adapted = adapt(find_inputs(settings).base, settings)
    many = [*samples, *samples, *samples]
    size = adapted.tensors.size
    plan = plan_pass(adapted.model, many, budget_mib, n_gradient_floats=size)
    part = plan_packs(many, plan.n_rows, rows_per_sample=plan.rows_per_sample)[0]
    places = {name: number for number, name in enumerate(sorted(adapted.dropping_places))}
    noise = Noise(1, 0, {name: number for number, name in enumerate(adapted.tensors.shapes)}, places)
    pack = pack_samples(part)
    tracemalloc.start()
    try:
        gradients = [adapted.tensors.views(np.empty(size, dtype=np.float32)) for _ in part]
        adapted.model.losses_and_gradients(pack, noise, gradients, keeps_activations=plan.keeps_activations)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    head_bytes = 2 * HEAD_ROWS * 512 * ITEM_BYTES
    is_one = len(part) == 1
    assert is_one or peak_bytes <= budget_mib * MIB + head_bytes
    assert not is_one or budget_mib < 64


@pytest.mark.parametrize("budget_mib", [1, 3, 16, 2048])
def test_a_plan_keeps_to_its_budget_but_for_one_sample(
    budget_mib: int, adapted: AdaptedModel, samples: Sequence[TokenSample]
) -> None:
    plan = plan_pass(adapted.model, samples, budget_mib)
    n_bytes = plan.n_rows * ITEM_BYTES * adapted.model.floats_per_row(keeps_activations=plan.keeps_activations)
    assert n_bytes <= budget_mib * MIB or plan.n_rows == max(len(sample.input_ids) for sample in samples)
    assert plan.n_rows >= max(len(sample.input_ids) for sample in samples)
