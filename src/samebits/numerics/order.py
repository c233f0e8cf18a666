"""Random orders of samples (N-23): sorted by keys that each sample's number gives alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from samebits.errors import NumericsError
from samebits.numerics import random
from samebits.numerics.random import Purpose, Stream

Order = np.ndarray[Any, np.dtype[np.int64]]
MAX_SAMPLES = 2**31


def epoch_order(n: int, seed: int, epoch: int) -> Order:
    """Return 0..n-1 in the order of one epoch, counted from 0.

    Bits: N-23.
    """
    return permutation(n, Stream(seed, Purpose.ORDER, step=epoch))


def permutation(n: int, stream: Stream) -> Order:
    """Return 0..n-1 in a random order.

    Bits: N-23.

    Args:
        n: at most 2**31.
    Returns:
        [n] int64, newly allocated.
    Raises:
        NumericsError: `n` is outside its limits.
    """
    if not 0 <= n <= MAX_SAMPLES:
        raise NumericsError(f"an order must be of 0 to {MAX_SAMPLES} samples", got=str(n), where="N-23")
    words = random.words(stream, 2 * n).astype(np.uint64)
    keys = words[0::2] << np.uint64(32) | words[1::2]
    order = np.argsort(keys)
    if np.any(np.diff(keys[order]) == 0):
        # Equal keys, of which a fast sort says nothing, stay in ascending order of samples.
        order = np.argsort(keys, kind="stable")
    return order.astype(np.int64, copy=False)
