from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from samebits.record.layout import RunFolder
from samebits.record.outcome import TrainingOutcome


def test_an_outcome_is_not_changed_afterwards() -> None:
    outcome = TrainingOutcome("0" * 64, {"n_steps": 1}, RunFolder(Path("run")))
    assert (outcome.golden_digest, outcome.results, outcome.run.path) == ("0" * 64, {"n_steps": 1}, Path("run"))
    with pytest.raises(FrozenInstanceError):
        outcome.golden_digest = "1" * 64  # type: ignore[misc]


def test_stock_hands_back_the_same_kind() -> None:
    from samebits.pytorch import stock

    assert stock.TrainingOutcome is TrainingOutcome
