"""The digest that the README promises is the one that training gives."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from samebits.numerics.library import ISA_VARIABLE, runnable_isas

README = Path(__file__).parents[2] / "README.md"


def promised() -> str:
    """Return the one whole digest that stands alone on a line of the README."""
    (digest,) = re.findall(r"^    ([0-9a-f]{64})$", README.read_text(encoding="utf-8"), re.MULTILINE)
    return str(digest)


def test_the_embedded_recipe_gives_the_digest_of_the_readme(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "samebits", "train", "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == promised()


def test_another_seed_gives_another_digest(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "samebits", "train", "--set", "seed=43", "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] != promised()


@pytest.mark.parametrize("n_threads", [1, 3])
def test_every_instruction_set_gives_it(tmp_path: Path, n_threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for isa in runnable_isas():
        monkeypatch.setenv(ISA_VARIABLE, isa)
        out = tmp_path / isa
        command = [sys.executable, "-m", "samebits", "train", "--set", f"threads={n_threads}", "--out", str(out)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == promised(), isa
