"""The loss as a sum over target tokens: no batch size divides it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from peft import PeftModel

from samebits.data.dataset import TokenSample, n_target_tokens
from samebits.errors import NonFiniteError
from samebits.pytorch.batches import pad_right


def summed_loss(model: PeftModel, samples: Sequence[TokenSample]) -> torch.Tensor:
    """Return the cross-entropy summed over the target tokens of one forward pass: a float32 scalar with its graph."""
    # The models divide the sum by what they are told the number of items is.
    loss: torch.Tensor = model(**pad_right(samples), num_items_in_batch=1, use_cache=False).loss
    return loss


def evaluate(model: PeftModel, samples: Sequence[TokenSample], batch_size: int) -> float:
    """Return the mean loss over all target tokens, dropout off.

    The sums of the batches, in the samples' order, are added as binary64 and divided once.

    Raises:
        NonFiniteError: the loss is NaN or infinite.
    """
    model.eval()
    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(samples), batch_size):
            loss = summed_loss(model, samples[start : start + batch_size]).item()
            if loss - loss != 0:
                raise NonFiniteError("the evaluation loss must be finite", got=str(loss), where=f"sample {start} on")
            total += loss
    return total / n_target_tokens(samples)
