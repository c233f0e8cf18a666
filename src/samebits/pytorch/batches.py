"""Samples of different lengths as one rectangle, padded on the right."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from samebits.data.dataset import TokenSample

IGNORED_LABEL = -100
# Any id does: the mask hides it, and no target lies on it.
PADDING_ID = 0


def pad_right(samples: Sequence[TokenSample]) -> dict[str, torch.Tensor]:
    """Return `input_ids`, `attention_mask` and `labels`, each [B, T] int64, T the longest sample's length."""
    n_columns = max(len(sample.input_ids) for sample in samples)
    shape = (len(samples), n_columns)
    batch = {
        "input_ids": torch.full(shape, PADDING_ID),
        "attention_mask": torch.zeros(shape, dtype=torch.int64),
        "labels": torch.full(shape, IGNORED_LABEL),
    }
    for row, sample in enumerate(samples):
        n_tokens = len(sample.input_ids)
        labels = [
            token if target else IGNORED_LABEL for token, target in zip(sample.input_ids, sample.is_target, strict=True)
        ]
        batch["input_ids"][row, :n_tokens] = torch.tensor(sample.input_ids)
        batch["attention_mask"][row, :n_tokens] = 1
        batch["labels"][row, :n_tokens] = torch.tensor(labels)
    return batch
