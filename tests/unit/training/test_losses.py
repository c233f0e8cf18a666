from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samebits.data.dataset import TokenSample, n_target_tokens
from samebits.errors import NonFiniteError
from samebits.models.families import AdaptedModel
from samebits.models.noise import Noise
from samebits.models.pack import pack_samples
from samebits.training.losses import UNITS_PER_ONE, evaluate, in_units, mean_loss

FLOATS = st.floats(0, 1e6, width=32)


@given(st.lists(FLOATS, max_size=20))
def test_a_sum_is_exact_and_has_no_order(losses: list[float]) -> None:
    units = in_units(losses)
    assert Fraction(units, UNITS_PER_ONE) == sum(map(Fraction, losses))
    assert in_units(losses[::-1]) == units
    assert sum(in_units([loss]) for loss in losses) == units


def test_the_least_and_the_largest_float32_are_counted() -> None:
    least, largest = 2.0**-149, float(np.finfo(np.float32).max)
    assert in_units([least]) == 1
    assert in_units([largest, least]) - in_units([largest]) == 1
    # Where float64 would have lost it.
    assert largest + least == largest


@given(st.lists(FLOATS, min_size=1, max_size=20), st.integers(1, 10**6))
def test_a_mean_is_rounded_once(losses: list[float], n: int) -> None:
    exact = sum(map(Fraction, losses)) / n
    mean = mean_loss(in_units(losses), n)
    assert mean == float(exact) == exact.numerator / exact.denominator


def test_a_mean_does_not_know_how_it_was_summed() -> None:
    """A sum in float64 depends on the order; here it does not."""
    losses = [2.0**53, 1.0, 1.0, 2.0**-100]
    assert len({sum(order) for order in itertools.permutations(losses)}) > 1
    assert len({mean_loss(in_units(order), 7) for order in itertools.permutations(losses)}) == 1


@pytest.mark.parametrize("n_rows", [1, 150, 300, 10**6])
def test_an_evaluation_does_not_know_its_passes(
    n_rows: int, adapted: AdaptedModel, samples: Sequence[TokenSample]
) -> None:
    some = samples[:6]
    alone = [adapted.model.sample_losses(pack_samples([sample]), Noise(9))[0] for sample in some]
    expected = float(sum(map(Fraction, alone)) / n_target_tokens(some))
    assert evaluate(adapted.model, some, n_rows) == expected


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_evaluation_that_is_not_finite_is_refused(
    value: float, adapted: AdaptedModel, samples: Sequence[TokenSample]
) -> None:
    adapted.flat.fill(value)
    with pytest.raises(NonFiniteError, match=r"the evaluation loss must be finite, got (nan|inf); lower") as caught:
        evaluate(adapted.model, samples[:2], 10**6)
    assert caught.value.exit_code == 2
