"""The canaries' constants are the oracle's."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from samebits.numerics.canaries import CANARIES

TOOL = Path(__file__).resolve().parents[2] / "tools" / "make_canaries.py"


def load_tool() -> ModuleType:
    specification = importlib.util.spec_from_file_location("make_canaries", TOOL)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_every_canary_is_what_the_oracle_computes() -> None:
    assert {canary.name: canary.sha256 for canary in CANARIES} == load_tool().digests()
