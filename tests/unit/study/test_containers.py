"""A run in a container is a run like any other: an engine that a script plays calls the stand-in."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from samebits.images.container import Container, Engine
from samebits.recipe.settings import PORTABLE_F32, STOCK
from samebits.study.containers import NO_TORCH, container_variation
from samebits.study.rows import Experiment, Row
from samebits.study.runner import ChildRunner, Job

STAND_IN = Path(__file__).parent / "stand_in.py"
TORCH = {"samebits.lock": "image-torch"}
_ENGINE = """\
#!{python}
import os, sys
words = sys.argv[1:]
if "rm" in words:
    open({said!r}, "a").write(words[-1] + "\\n")
    raise SystemExit
folder = words[words.index("--volume") + 1].rpartition(":")[0]
for index, word in enumerate(words):
    if word == "--env":
        name, _, value = words[index + 1].partition("=")
        os.environ[name] = value
os.environ |= {{"STAND_IN_CONTAINER": "1"}}
inside = [word.replace("/app/artifacts", folder) for word in words[words.index({image!r}) + 1:]]
os.execv(sys.executable, [sys.executable, {stand_in!r}, "-m", "samebits", *inside])
"""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="an engine is played by a script with a first line")


@pytest.fixture
def container(tmp_path: Path) -> Container:
    program = tmp_path / "podman"
    said = str(tmp_path / "removed")
    text = _ENGINE.format(python=sys.executable, said=said, image="ab" * 32, stand_in=str(STAND_IN))
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)
    return Container(Engine("podman", str(program), "4.3.1"), "ab" * 32, {})


def row_of(experiment: Experiment, name: str) -> Row:
    return next(row for row in experiment.rows if row.run == name)


def test_the_same_digest_in_a_container_holds(study: Callable[..., Experiment], container: Container) -> None:
    experiment = study(container=container, only=["folder"])
    row = row_of(experiment, "container")
    assert (row.verdict, row.held, row.golden_digest) == ("same", True, experiment.golden_digest)
    assert "podman, image abababababab" in row.changed


def test_other_bits_in_a_container_break_the_study(
    study: Callable[..., Experiment], container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "container:bit")
    experiment = study(container=container, only=["folder"])
    assert (row_of(experiment, "container").verdict, experiment.verdict) == ("different", "broken")


def test_without_an_engine_the_cell_says_why_and_counts_as_not_tested(study: Callable[..., Experiment]) -> None:
    experiment = study(container="no engine here", only=["folder"])
    row = row_of(experiment, "container")
    assert (row.verdict, row.held, row.reason) == ("not tested", None, "no engine here")
    assert experiment.verdict == "held"


def test_required_a_missing_engine_leaves_the_study_undecided(study: Callable[..., Experiment]) -> None:
    experiment = study(container="no engine here", only=["folder"], require_all=True)
    assert experiment.verdict == "undecided"
    assert "container was not tested: no engine here" in experiment.findings


def test_a_study_without_containers_has_no_such_row(study: Callable[..., Experiment]) -> None:
    assert not [row for row in study(only=["folder"]).rows if row.factor == "container"]


def test_stock_is_expected_to_differ_and_needs_an_image_with_torch(container: Container) -> None:
    variation = container_variation(STOCK, container)
    assert (variation.expectation, variation.unavailable) == ("may differ", NO_TORCH)
    with_torch = container_variation(STOCK, Container(container.engine, container.image_id, TORCH))
    assert with_torch.unavailable is None
    assert (with_torch.name, with_torch.against) == ("stock-container", "stock")
    assert container_variation(PORTABLE_F32, container).unavailable is None


def test_a_container_that_takes_too_long_is_removed_by_name(
    container: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "container:sleep")
    job = Job(tmp_path / "runs" / "container", tmp_path / "log", tmp_path, {}, ("numerics=stock",), container=container)
    outcome = ChildRunner(timeout_s=1.5).train(job)
    assert "did not end" in str(outcome.problem)
    assert (tmp_path / "removed").read_text(encoding="utf-8") == f"samebits-{os.getpid()}-container\n"


def test_what_a_container_cannot_do_is_refused(container: Container, tmp_path: Path) -> None:
    job = Job(tmp_path / "run", tmp_path / "log", tmp_path, {}, prelude="import os", container=container)
    with pytest.raises(ValueError, match="embedded recipe"):
        ChildRunner().train(job)


def test_settings_and_environment_reach_the_container(container: Container, tmp_path: Path) -> None:
    job = Job(tmp_path / "run", tmp_path / "log", tmp_path, {"TZ": "UTC"}, ("threads=2",), container=container)
    told = shlex.join(ChildRunner()._command(job))
    assert "--env TZ=UTC" in told
    assert told.endswith("train --out /app/artifacts/run --json --set threads=2")
