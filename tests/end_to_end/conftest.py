"""`samebits` in child processes that find this session's kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Samebits = Callable[..., subprocess.CompletedProcess[str]]

_PROGRAM = """
import sys
from pathlib import Path
from samebits.numerics import library
library.LIBRARIES = Path(sys.argv.pop(1))
from samebits.cli.main import main
main()
"""


@pytest.fixture(scope="session")
def program(native_libraries: Path) -> list[str]:
    """The command line of `samebits`, up to its arguments, with the kernels of this session."""
    return [sys.executable, "-c", _PROGRAM, str(native_libraries)]


@pytest.fixture(scope="session")
def samebits(program: list[str]) -> Samebits:
    """`samebits(*arguments, cwd=None, **variables)`: the finished child process, its streams as text."""

    def run(*arguments: object, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **variables}
        command = [*program, *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)

    return run
