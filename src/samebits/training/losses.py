"""Losses as exact sums over target tokens: no order and no batch size reaches them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

from samebits.data.dataset import TokenSample, n_target_tokens
from samebits.errors import NonFiniteError
from samebits.models.decoder import Decoder
from samebits.models.noise import Noise
from samebits.models.pack import pack_samples, plan_packs
from samebits.numerics.host_scalars import nearest_f64

UNITS_PER_ONE = 2**149
"""A float32 is a whole number of units of 2^-149, its least positive value."""


def in_units(losses: Iterable[float]) -> int:
    """Return the exact sum of float32 values, in units of 2^-149."""
    return sum(int(Fraction(loss) * UNITS_PER_ONE) for loss in losses)


def mean_loss(units: int, n_target_tokens: int) -> float:
    """Return the mean over target tokens: the exact quotient, rounded once to binary64."""
    return nearest_f64(Fraction(units, UNITS_PER_ONE * n_target_tokens))


def evaluate(model: Decoder, samples: Sequence[TokenSample], n_rows: int) -> float:
    """Return the mean loss over all target tokens, dropout off.

    Args:
        n_rows: of one pass; reaches no bit.
    Raises:
        NonFiniteError: the loss is NaN or infinite.
    """
    losses = list[float]()
    for chosen in plan_packs(samples, n_rows):
        losses += model.sample_losses(pack_samples(chosen), Noise(seed=0))
    if not math.isfinite(total := sum(losses)):
        raise NonFiniteError(
            "the evaluation loss must be finite",
            got=str(total),
            remedy="lower learning_rate, and train again in another folder",
        )
    return mean_loss(in_units(losses), n_target_tokens(samples))
