"""Every test here may call kernels."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="session")
def _libraries_are_built(native_libraries: Path) -> None:
    pass
