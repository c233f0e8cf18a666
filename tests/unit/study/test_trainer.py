"""Each profile has its engine, and a missing library of one does not matter to the other."""

from __future__ import annotations

import importlib.util

import pytest

from samebits.errors import MissingExtraError
from samebits.study.trainer import trainer


def test_each_profile_has_its_engine() -> None:
    assert trainer("portable-f32").__module__ == "samebits.training.portable"
    assert trainer("stock").__module__ == "samebits.pytorch.stock"


def test_only_stock_needs_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    trainer("portable-f32")
    with pytest.raises(MissingExtraError, match="stock numerics needs torch"):
        trainer("stock")
