"""Training stops at the first number that is not finite, and says which."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from samebits.errors import NonFiniteError

_FIRST_REMEDY = "look for NaN or infinity in the base's weights: nothing was trained yet"
_REMEDY = "lower learning_rate, or resume from an earlier checkpoint with another recipe in another folder"


def check_loss(loss: float, step: int) -> None:
    """Check the loss of one forward pass.

    Raises:
        NonFiniteError: it is NaN or infinite.
    """
    if not math.isfinite(loss):
        remedy = _FIRST_REMEDY if step == 1 else _REMEDY
        raise NonFiniteError("the loss must be finite", got=str(loss), where=f"step {step}", remedy=remedy)


def check_tensors(tensors: Mapping[str, np.ndarray[Any, Any]], kind: str, step: int) -> None:
    """Check every element of named tensors.

    Args:
        kind: `gradient` or `parameter`, for the sentence.
    Raises:
        NonFiniteError: an element is NaN or infinite; the first tensor by name is told.
    """
    for name in sorted(tensors):
        wrong = ~np.isfinite(tensors[name])
        if wrong.any():
            count = int(wrong.sum())
            raise NonFiniteError(
                f"every {kind} must be finite",
                got=f"{count} of {wrong.size} elements NaN or infinite",
                where=f"step {step}, {kind} of {name}",
                remedy=_REMEDY,
            )
