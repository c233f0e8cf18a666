"""`samebits` in child processes that find this session's kernels."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Samebits = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def samebits(program: list[str]) -> Samebits:
    """`samebits(*arguments, cwd=None, **variables)`: the finished child process, its streams as text."""

    def run(*arguments: object, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **variables}
        command = [*program, *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)

    return run
