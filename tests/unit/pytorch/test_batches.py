from __future__ import annotations

import torch

from samebits.data.dataset import TokenSample, n_target_tokens
from samebits.pytorch.batches import IGNORED_LABEL, pad_right

SHORT = TokenSample(0, 1, "", (7, 8), (False, True))
LONG = TokenSample(1, 2, "", (1, 2, 3, 4), (False, False, True, True))


def test_samples_are_padded_on_the_right_to_the_longest() -> None:
    batch = pad_right([SHORT, LONG])
    assert batch["input_ids"].tolist() == [[7, 8, 0, 0], [1, 2, 3, 4]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert batch["labels"].tolist() == [[-100, 8, -100, -100], [-100, -100, 3, 4]]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_the_labels_are_as_many_as_the_targets() -> None:
    batch = pad_right([SHORT, LONG])
    assert int((batch["labels"] != IGNORED_LABEL).sum()) == n_target_tokens([SHORT, LONG]) == 3
