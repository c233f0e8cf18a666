"""A run folder that is not as a killed run left it: every fault is refused in one sentence, and nothing is changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from samebits.canonical.digests import sha256_listing
from samebits.errors import CheckpointError, RecordError, SamebitsError, UsageError
from samebits.pytorch.stock import TrainingOutcome, train
from samebits.recipe.reader import settings_from
from samebits.record.progress import Silence

RECIPE = {"numerics": "stock", "max_steps": 4, "save_steps": 1, "threads": 1, "generation_max_new_tokens": 2}


class StoppedError(Exception):
    """A run ended from outside."""


class StopAfter(Silence):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, step: int, loss: float, learning_rate: float, grad_norm: float) -> None:
        if step == self.step:
            raise StoppedError


def _train(out: Path, *, resume: bool, **values: Any) -> TrainingOutcome:
    return train(settings_from({**RECIPE, **values}, where="test"), out, resume=resume, progress=Silence())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TrainingOutcome:
    return _train(tmp_path_factory.mktemp("whole") / "run", resume=False)


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.raises(StoppedError):
        train(settings_from(RECIPE, where="test"), out, resume=False, progress=StopAfter(4))
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == [f"step-0000000{n}" for n in (1, 2, 3)]
    return out


@pytest.fixture
def stopped(stopped_once: Path, tmp_path: Path) -> Path:
    """A run that ended after step 4, with checkpoints of steps 1 to 3."""
    return Path(shutil.copytree(stopped_once, tmp_path / "run"))


def _content(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return sha256_listing({str(path.relative_to(folder)): path.read_bytes().hex() for path in files})


def _refused(out: Path, kind: type[SamebitsError], told: str, **values: Any) -> None:
    before = _content(out)
    with pytest.raises(kind, match=told) as caught:
        _train(out, resume=True, **values)
    assert "\n" not in str(caught.value)
    assert _content(out) == before


def test_an_untouched_one_goes_on_to_the_same_bits(stopped: Path, whole: TrainingOutcome) -> None:
    assert _train(stopped, resume=True).golden_digest == whole.golden_digest


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
def test_a_missing_file_is_refused(stopped: Path, name: str) -> None:
    (stopped / "checkpoints" / "step-00000003" / name).unlink()
    _refused(stopped, CheckpointError, name)


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
def test_a_flipped_bit_is_refused(stopped: Path, name: str) -> None:
    path = stopped / "checkpoints" / "step-00000003" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    _refused(stopped, CheckpointError, "step-00000003")


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
def test_a_truncated_file_is_refused(stopped: Path, name: str) -> None:
    path = stopped / "checkpoints" / "step-00000003" / name
    path.write_bytes(path.read_bytes()[:-7])
    _refused(stopped, CheckpointError, "step-00000003")


def test_what_the_sentence_says_to_do_works(stopped: Path, whole: TrainingOutcome) -> None:
    newest = stopped / "checkpoints" / "step-00000003"
    (newest / "state.json").write_bytes(b"{}")
    _refused(stopped, CheckpointError, "step-00000003 to fall back to the checkpoint before it")
    shutil.rmtree(newest)
    assert _train(stopped, resume=True).golden_digest == whole.golden_digest


def test_a_checkpoint_under_another_steps_name_is_refused(stopped: Path) -> None:
    (stopped / "checkpoints" / "step-00000003").rename(stopped / "checkpoints" / "step-00000007")
    _refused(stopped, CheckpointError, "step 7")


@pytest.mark.parametrize("values", [{"seed": 1}, {"learning_rate": 1e-3}, {"max_steps": 5}, {"val_size": 3}])
def test_another_recipe_is_refused(stopped: Path, values: dict[str, Any]) -> None:
    _refused(stopped, CheckpointError, "a checkpoint must be of the recipe that is resumed", **values)


def test_another_thread_count_is_refused_for_its_kernels_round_otherwise(stopped: Path) -> None:
    _refused(stopped, CheckpointError, "got n_threads 2 where it was 1", threads=2)


def test_another_checkpoint_interval_is_not_another_run(stopped: Path, whole: TrainingOutcome) -> None:
    assert _train(stopped, resume=True, save_steps=3, logging_steps=2).golden_digest == whole.golden_digest


def test_a_strange_file_is_refused(stopped: Path) -> None:
    (stopped / "notes.txt").write_text("mine")
    _refused(stopped, CheckpointError, "must hold a run and nothing else")


def test_without_resume_the_folder_is_refused(stopped: Path) -> None:
    before = _content(stopped)
    with pytest.raises(UsageError, match="or resume this run"):
        _train(stopped, resume=False)
    assert _content(stopped) == before


def test_a_finished_run_is_told_again_and_not_touched(whole: TrainingOutcome) -> None:
    before = _content(whole.run.path)
    again = _train(whole.run.path, resume=True)
    assert (again.golden_digest, again.results) == (whole.golden_digest, whole.results)
    assert _content(whole.run.path) == before
    with pytest.raises(UsageError, match="got a finished run"):
        _train(whole.run.path, resume=False)


def test_a_finished_run_that_was_changed_is_not_passed_off(whole: TrainingOutcome, tmp_path: Path) -> None:
    run = Path(shutil.copytree(whole.run.path, tmp_path / "run"))
    results = run / "golden" / "results.json"
    results.write_bytes(results.read_bytes().replace(b'"n_steps":4', b'"n_steps":5'))
    _refused(run, RecordError, r"a finished run must be as its summary says, got golden/results\.json: changed")


def test_a_finished_run_of_another_recipe_is_not_passed_off(whole: TrainingOutcome, tmp_path: Path) -> None:
    run = Path(shutil.copytree(whole.run.path, tmp_path / "run"))
    _refused(run, CheckpointError, "the finished run must be of the recipe that was asked for", seed=1)


def test_a_summary_that_is_no_json_is_refused(whole: TrainingOutcome, tmp_path: Path) -> None:
    run = Path(shutil.copytree(whole.run.path, tmp_path / "run"))
    (run / "artifact_summary.json").write_text(json.dumps({"golden_digest": "0"})[:-3])
    _refused(run, RecordError, "artifact_summary.json")
