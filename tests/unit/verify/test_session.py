"""Both engines offer what verification needs of one."""

from __future__ import annotations

import importlib
import inspect

import pytest

from samebits.verify.session import Session


@pytest.mark.parametrize("engine", ["samebits.training.portable:Training", "samebits.pytorch.stock:StockTraining"])
def test_an_engine_has_every_member_with_the_same_parameters(engine: str) -> None:
    module, _, name = engine.partition(":")
    if "pytorch" in module:
        pytest.importorskip("torch")
    offered = getattr(importlib.import_module(module), name)
    wanted = {key: member for key, member in vars(Session).items() if not key.startswith("_")}
    assert len(wanted) > 5
    for key, member in wanted.items():
        found = inspect.getattr_static(offered, key)
        if inspect.isfunction(member):
            assert list(inspect.signature(found).parameters) == list(inspect.signature(member).parameters), key
        else:
            assert isinstance(found, property), key
