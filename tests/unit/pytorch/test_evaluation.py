from __future__ import annotations

from pathlib import Path

import pytest
import torch

from samebits.data.dataset import TokenSample
from samebits.errors import NonFiniteError
from samebits.pytorch.adapter import attach_adapter, load_base
from samebits.pytorch.evaluation import evaluate, summed_loss
from samebits.recipe.settings import Settings

pytestmark = pytest.mark.usefixtures("quiet")

SAMPLES = [
    TokenSample(index, index, "", tuple(range(3, 3 + n)), (False, *(place % 2 == 0 for place in range(n - 1))))
    for index, n in enumerate((5, 17, 9))
]


def test_the_loss_is_the_sum_over_targets_divided_once(gpt2: Path, settings: Settings) -> None:
    model = attach_adapter(load_base(gpt2, "sdpa"), settings).eval()
    total, n_targets = 0.0, 0
    for sample in SAMPLES:
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([sample.input_ids])).logits[0]
        places = [place for place, is_target in enumerate(sample.is_target) if is_target]
        wanted = torch.tensor([sample.input_ids[place] for place in places])
        rows = logits[[place - 1 for place in places]]
        total += torch.nn.functional.cross_entropy(rows, wanted, reduction="sum").item()
        n_targets += len(places)
    expected, actual = total / n_targets, evaluate(model, SAMPLES, 1)
    # The kernel adds rows that it skips as zeros: another order of the same sum, a few roundings of float32 apart.
    assert abs(expected - actual) <= 4 * 2**-23 * expected


def test_dropout_is_off_and_the_generator_is_not_touched(gpt2: Path, settings: Settings) -> None:
    model = attach_adapter(load_base(gpt2, "sdpa"), settings).train()
    before = torch.get_rng_state()
    assert evaluate(model, SAMPLES, 2).hex() == evaluate(model, SAMPLES, 2).hex()
    assert torch.equal(before, torch.get_rng_state())


def test_the_summed_loss_has_a_graph(gpt2: Path, settings: Settings) -> None:
    model = attach_adapter(load_base(gpt2, "sdpa"), settings)
    summed_loss(model, SAMPLES[:1]).backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_a_loss_that_is_not_finite_is_refused(gpt2: Path, settings: Settings) -> None:
    model = attach_adapter(load_base(gpt2, "sdpa"), settings)
    with torch.no_grad():
        next(iter(model.parameters()))[:] = float("nan")
    with pytest.raises(NonFiniteError, match="the evaluation loss must be finite"):
        evaluate(model, SAMPLES, 2)
