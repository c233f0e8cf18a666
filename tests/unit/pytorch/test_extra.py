from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from samebits.errors import MissingExtraError
from samebits.pytorch.extra import missing_libraries, require_torch


def test_an_installed_extra_is_not_missing() -> None:
    assert missing_libraries() == []
    require_torch()


def test_a_missing_library_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec

    def without_peft(name: str, package: str | None = None) -> Any:
        return None if name == "peft" else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without_peft)
    with pytest.raises(MissingExtraError, match=r"got no peft; run `pip install 'samebits\[torch\]'`"):
        require_torch()
