from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from samebits.cli.doctor import verdict
from samebits.numerics.examination import Check

NAMES = 7


def _doctor(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**{name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}, **variables}
    program = [sys.executable, "-m", "samebits", "doctor", *arguments]
    return subprocess.run(program, env=environment, capture_output=True, text=True)


def test_all_hold_here_because_the_command_starts_itself_again() -> None:
    child = _doctor("--seed", "7")
    assert child.returncode == 0, child.stdout + child.stderr
    assert f"{NAMES} of {NAMES} hold" in child.stdout.splitlines()
    assert child.stdout.splitlines()[1].startswith("holds        known answers")
    assert "PYTHONHASHSEED=7" in child.stdout
    assert child.stderr == ""


def test_a_point_that_fails_exits_1_and_says_what_to_do() -> None:
    # -E makes Python ignore the variable: setting it has no effect, as it has none from within a program.
    program = [sys.executable, "-E", "-m", "samebits", "doctor", "--json"]
    environment = {**os.environ, "PYTHONHASHSEED": "42"}
    child = subprocess.run(program, env=environment, capture_output=True, text=True)
    answer = json.loads(child.stdout)
    assert child.returncode == 1
    assert answer["ok"] is False
    assert [check["name"] for check in answer["checks"] if not check["ok"]] == ["hash seed"]
    assert answer["arithmetic"]["ok"] is True


WITHOUT_KERNELS = """
import sys
from pathlib import Path
from samebits.numerics import library
library.LIBRARIES = Path(sys.argv[1])
from samebits.cli.main import run
sys.exit(run(["doctor"]))
"""


def test_kernels_that_are_not_there_cannot_be_told(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "42"}
    program = [sys.executable, "-c", WITHOUT_KERNELS, str(tmp_path)]
    child = subprocess.run(program, env=environment, capture_output=True, text=True)
    assert child.returncode == 2
    assert child.stdout.splitlines()[2].endswith("next: run `python -m samebits.numerics.build`")


WITHOUT_TORCH = """
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in ("torch", "peft") else found(name, *rest)
from samebits.cli.main import run
code = run(["doctor"])
assert "torch" not in sys.modules
sys.exit(code)
"""


def test_without_torch_its_own_points_are_left_out_aloud() -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "42"}
    child = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], env=environment, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert child.stdout.splitlines()[-1].startswith("not tested: torch, peft not installed")


@pytest.mark.parametrize(
    ("found", "expected"),
    [((True, True), True), ((True, None), None), ((None, False), False), ((False, True), False)],
)
def test_a_failure_goes_before_what_cannot_be_told(found: tuple[bool | None, ...], expected: bool | None) -> None:
    assert verdict([Check("", ok, "", "") for ok in found]) is expected
