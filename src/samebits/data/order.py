"""Which sample comes when: the epochs' orders, the held-out split, and the steps that follow from them.

Nothing here knows NumPy's or Python's generators; docs/data.md holds the rule in the form that a stranger needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import overload

import numpy as np

from samebits.errors import DataError
from samebits.numerics.philox import philox4x32
from samebits.recipe.settings import Settings, total_train_batch_size

# Counter words 0 and 1 hold the block's index (low, high), word 2 the epoch, word 3 the purpose; the key is (seed, 0).
# A purpose is four ASCII letters read as a big-endian number, so that no two uses of one seed share a block.
EPOCH_ORDER = int.from_bytes(b"ORDE", "big")
HELD_OUT = int.from_bytes(b"SPLT", "big")

MAX_SAMPLES = 2**31
_BLOCKS_AT_ONCE = 256


@dataclass(frozen=True)
class StepPlan:
    """One optimizer step: its number from 1, its epoch from 0, and the samples of each forward pass by index."""

    step: int
    epoch: int
    micro_batches: tuple[tuple[int, ...], ...]

    @property
    def places(self) -> list[int]:
        """All samples of the step, in order."""
        return [index for micro_batch in self.micro_batches for index in micro_batch]


def sample_seed(settings: Settings) -> int:
    """Return the seed of the split and of the orders: `data_seed`, or `seed` where it is left out."""
    return settings.seed if settings.data_seed is None else settings.data_seed


def epoch_order(n: int, seed: int, epoch: int) -> list[int]:
    """Return 0..n-1 in the order of one epoch.

    Args:
        epoch: counted from 0.
    Source: Durstenfeld, CACM 7(7), 1964 (the shuffle), from the last place down.
    """
    return _permutation(n, _words(seed, epoch, EPOCH_ORDER))


def held_out(n: int, val_size: float, seed: int) -> tuple[list[int], list[int]]:
    """Split 0..n-1 into training and evaluation indices, both ascending.

    Args:
        val_size: a count from 1 (a whole number), a share below 1 (its decimal form times n, rounded up), or 0.
    Raises:
        DataError: the count is not whole, or no training sample would be left.
    """
    n_held_out = _n_held_out(n, val_size)
    if n_held_out >= n:
        raise DataError(
            "`val_size` must leave at least one training sample",
            got=f"{n_held_out} of {n} held out",
            remedy="use `--set val_size=0`, or give `eval_dataset_name`",
        )
    chosen = set(_permutation(n, _words(seed, 0, HELD_OUT))[:n_held_out])
    return [i for i in range(n) if i not in chosen], sorted(chosen)


class StepPlans(Sequence[StepPlan]):
    """The optimizer steps of a run, each made when it is asked for: only one epoch's order is held.

    Args:
        numbers: of the steps in this part, counted from 0.
    """

    def __init__(self, n_samples: int, settings: Settings, numbers: range) -> None:
        self._n_samples, self._settings, self._numbers = n_samples, settings, numbers
        self._epoch, self._order = -1, list[int]()

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> StepPlan: ...

    @overload
    def __getitem__(self, index: slice) -> StepPlans: ...

    def __getitem__(self, index: int | slice) -> StepPlan | StepPlans:
        if isinstance(index, slice):
            return StepPlans(self._n_samples, self._settings, self._numbers[index])
        micro, batch = _batch_sizes(self._settings)
        number = self._numbers[index]
        epoch, place = divmod(number, math.ceil(self._n_samples / batch))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, epoch_order(self._n_samples, sample_seed(self._settings), epoch)
        samples = self._order[place * batch : (place + 1) * batch]
        passes = tuple(tuple(samples[at : at + micro]) for at in range(0, len(samples), micro))
        return StepPlan(number + 1, epoch, passes)


def plan_steps(n_samples: int, settings: Settings) -> StepPlans:
    """Return the optimizer steps of a run, in order.

    A batch never crosses an epoch's end: the last one of an epoch may be short. `max_steps` cuts the epochs, or adds
    further ones, each with its own order.

    Raises:
        DataError: there are no samples.
    """
    if n_samples < 1:
        raise DataError("training must have at least one sample", got=str(n_samples))
    n_steps = settings.max_steps or settings.num_train_epochs * math.ceil(n_samples / _batch_sizes(settings)[1])
    return StepPlans(n_samples, settings, range(n_steps))


def _batch_sizes(settings: Settings) -> tuple[int, int]:
    """Return the samples of a forward pass and of an optimizer step."""
    return settings.per_device_train_batch_size, total_train_batch_size(settings)


def _n_held_out(n: int, val_size: float) -> int:
    # repr is the shortest decimal that reads back as the same number: what the recipe's file says.
    size = Fraction(repr(val_size))
    if size < 1:
        return math.ceil(size * n)
    if size.denominator != 1:
        raise DataError("`val_size` must be a whole count from 1 on, or a share below 1", got=repr(val_size))
    return int(size)


def _permutation(n: int, words: Iterator[int]) -> list[int]:
    if n > MAX_SAMPLES:
        raise DataError(f"a dataset must have at most {MAX_SAMPLES} samples", got=str(n))
    order = list(range(n))
    for place in range(n - 1, 0, -1):
        other = _below(place + 1, words)
        order[place], order[other] = order[other], order[place]
    return order


def _below(n: int, words: Iterator[int]) -> int:
    """Draw one of 0..n-1, each equally likely: words past the last whole multiple of n are thrown away."""
    limit = 2**32 - 2**32 % n
    return next(word for word in words if word < limit) % n


def _words(seed: int, epoch: int, purpose: int) -> Iterator[int]:
    block = 0
    while True:
        index = np.arange(block, block + _BLOCKS_AT_ONCE, dtype=np.uint64)
        counter = np.empty((_BLOCKS_AT_ONCE, 4), dtype=np.uint32)
        counter[:, 0] = index & np.uint64(0xFFFFFFFF)
        counter[:, 1] = index >> np.uint64(32)
        counter[:, 2] = epoch
        counter[:, 3] = purpose
        yield from philox4x32(counter, (seed, 0)).reshape(-1).tolist()
        block += _BLOCKS_AT_ONCE
