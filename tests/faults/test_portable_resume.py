"""Portable runs that are not as they were left, and numbers that are not finite: each refused in one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.canonical.digests import sha256_listing
from samebits.canonical.safetensors_file import TensorFile, write_safetensors
from samebits.errors import CheckpointError, NonFiniteError, RecordError, SamebitsError, UsageError
from samebits.models.inputs import find_inputs
from samebits.models.seeded import embedded_folder
from samebits.recipe.reader import settings_from
from samebits.record.checkpoint import read_checkpoint, write_checkpoint
from samebits.record.documents import recipe_digest
from samebits.record.layout import RunFolder
from samebits.record.outcome import TrainingOutcome
from samebits.record.progress import Silence
from samebits.training import portable
from samebits.training.portable import train

pytestmark = pytest.mark.usefixtures("native_libraries")

RECIPE = {
    "numerics": "portable-f32", "max_steps": 4, "save_steps": 1, "threads": 1, "generation_max_new_tokens": 2,
}  # fmt: skip


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
def whole(tmp_path_factory: pytest.TempPathFactory, native_libraries: Path) -> TrainingOutcome:
    return _train(tmp_path_factory.mktemp("whole") / "run", resume=False)


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory: pytest.TempPathFactory, native_libraries: Path) -> Path:
    out = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.raises(StoppedError):
        train(settings_from(RECIPE, where="test"), out, resume=False, progress=StopAfter(4))
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
    assert caught.value.exit_code == 2
    assert _content(out) == before


def test_an_untouched_one_goes_on_to_the_same_bits(stopped: Path, whole: TrainingOutcome) -> None:
    assert _train(stopped, resume=True).golden_digest == whole.golden_digest


def test_execution_may_change_where_stock_refuses_it(stopped: Path, whole: TrainingOutcome) -> None:
    other = {"threads": 2, "save_steps": 3, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    assert _train(stopped, resume=True, **other).golden_digest == whole.golden_digest


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["missing", "flipped", "truncated"])
def test_a_damaged_checkpoint_is_refused(stopped: Path, name: str, damage: str) -> None:
    path = stopped / "checkpoints" / "step-00000003" / name
    data = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "flipped":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    else:
        path.write_bytes(data[:-7])
    _refused(stopped, CheckpointError, "step-00000003")


def test_what_the_sentence_says_to_do_works(stopped: Path, whole: TrainingOutcome) -> None:
    newest = stopped / "checkpoints" / "step-00000003"
    (newest / "state.json").write_bytes(b"{}")
    _refused(stopped, CheckpointError, "step-00000003 to fall back to the checkpoint before it")
    shutil.rmtree(newest)
    assert _train(stopped, resume=True).golden_digest == whole.golden_digest


@pytest.mark.parametrize(
    "values",
    [{"seed": 1}, {"learning_rate": 1e-3}, {"max_steps": 5}, {"gradient_accumulation_steps": 2}, {"lora_r": 4}],
    ids=lambda values: next(iter(values)),
)
def test_another_recipe_is_refused(stopped: Path, values: dict[str, Any]) -> None:
    _refused(stopped, CheckpointError, "a checkpoint must be of the recipe that is resumed", **values)


def _without_a_tensor(tensors: dict[str, Any], state: dict[str, Any]) -> None:
    del tensors["exp_avg_sq.base_model.model.transformer.h.1.attn.c_attn.lora_B.weight"]


def _with_a_strange_tensor(tensors: dict[str, Any], state: dict[str, Any]) -> None:
    tensors["exp_avg.another"] = np.zeros(3, np.float32)


def _with_another_shape(tensors: dict[str, Any], state: dict[str, Any]) -> None:
    name = "parameter.base_model.model.transformer.h.0.attn.c_attn.lora_A.weight"
    tensors[name] = np.ascontiguousarray(tensors[name].T)


def _with_another_parameter(tensors: dict[str, Any], state: dict[str, Any]) -> None:
    tensors["parameter.base_model.model.transformer.h.0.attn.c_attn.lora_A.weight"][0, 0] += 1


def _with_another_moment(tensors: dict[str, Any], state: dict[str, Any]) -> None:
    tensors["exp_avg.base_model.model.transformer.h.0.attn.c_attn.lora_A.weight"][0, 0] += 1


def _without_its_trace(tensors: dict[str, Any], state: dict[str, Any]) -> None:
    del tensors["trace_bytes"]


def _with_half_its_trace(tensors: dict[str, Any], state: dict[str, Any]) -> None:
    tensors["trace_bytes"] = tensors["trace_bytes"][: len(tensors["trace_bytes"]) // 2].copy()


def _with_an_empty_trace(tensors: dict[str, Any], state: dict[str, Any]) -> None:
    tensors["trace_bytes"] = np.zeros(0, np.uint8)


def _without_its_loss(tensors: dict[str, Any], state: dict[str, Any]) -> None:
    del state["loss_units"]


def _with_a_strange_loss(tensors: dict[str, Any], state: dict[str, Any]) -> None:
    state["loss_units"] = "12.5"


def _with_strange_beginnings(tensors: dict[str, Any], state: dict[str, Any]) -> None:
    state["resumed_from"] = "1"


FORGERIES = (
    _without_a_tensor, _with_a_strange_tensor, _with_another_shape, _with_another_parameter, _with_another_moment,
    _without_its_trace, _with_half_its_trace, _with_an_empty_trace, _without_its_loss, _with_a_strange_loss,
    _with_strange_beginnings,
)  # fmt: skip


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_whole_checkpoint_with_strange_content_is_refused(
    stopped: Path, forge: Callable[[dict[str, Any], dict[str, Any]], None]
) -> None:
    """Its manifest fits: another program wrote it, or an older one."""
    settings = settings_from(RECIPE, where="test")
    recipe_sha256 = recipe_digest(find_inputs(settings).recipe)
    path = stopped / "checkpoints" / "step-00000003"
    checkpoint = read_checkpoint(path, recipe_sha256)
    shutil.rmtree(path)
    forge(checkpoint.tensors, checkpoint.state)
    write_checkpoint(RunFolder(stopped), 3, checkpoint.tensors, checkpoint.state, recipe_sha256=recipe_sha256)
    _refused(stopped, RecordError, "step-00000003")


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


def test_a_finished_run_that_was_changed_or_is_of_another_recipe_is_not_passed_off(
    whole: TrainingOutcome, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(whole.run.path, tmp_path / "run"))
    _refused(run, CheckpointError, "the finished run must be of the recipe that was asked for", seed=1)
    _refused(
        run,
        CheckpointError,
        "the finished run must be of the recipe that was asked for",
        numerics="portable-f32",
        lora_r=2,
    )
    results = run / "golden" / "results.json"
    results.write_bytes(results.read_bytes().replace(b'"n_steps":4', b'"n_steps":5'))
    _refused(run, RecordError, r"a finished run must be as its summary says, got golden/results\.json: changed")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    "name", ["transformer.ln_f.weight", "transformer.h.0.attn.c_attn.weight", "transformer.wpe.weight"]
)
def test_one_element_of_the_base_that_is_not_finite_shows_in_the_first_loss(
    tmp_path: Path, name: str, value: float
) -> None:
    base = Path(shutil.copytree(embedded_folder(), tmp_path / "base"))
    file = TensorFile(base / "model.safetensors")
    tensors = {name: np.array(file.array(name)) for name in file.tensors}
    tensors[name].reshape(-1)[3] = value
    write_safetensors(base / "model.safetensors", tensors)
    with pytest.raises(NonFiniteError, match=r"the loss must be finite, got (nan|inf) \(step 1\); look .*base"):
        _train(tmp_path / "run", resume=False, model_name_or_path=str(base))
    assert not (tmp_path / "run").exists()


def test_a_learning_rate_that_blows_up_is_named_and_earlier_checkpoints_stay(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match=r"\(step [23]") as caught:
        _train(tmp_path / "run", resume=False, learning_rate=1e37, max_grad_norm=0)
    assert "lower learning_rate" in str(caught.value)
    assert (tmp_path / "run" / "checkpoints" / "step-00000001" / "manifest.json").is_file()
    assert not (tmp_path / "run" / "golden").exists()


@pytest.mark.parametrize("kind", ["gradient", "parameter"])
def test_a_tensor_that_is_not_finite_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """The fault is planted in a kernel's result: the summed gradient's, or AdamW's."""
    calls = []
    # The second tensor of the adapter is B of the first layer: behind A's 16 x 64 elements.
    place = 16 * 64 + 5

    def spoil(flat: Any) -> None:
        calls.append(len(calls))
        if len(calls) == 3:
            flat[place] = float("nan")

    if kind == "parameter":
        real_adamw = portable.adamw

        def spoilt_adamw(flat: Any, *others: Any) -> None:
            real_adamw(flat, *others)
            spoil(flat)

        monkeypatch.setattr(portable, "adamw", spoilt_adamw)
    else:
        real_sum = portable._summed_gradient

        def spoilt_sum(*arguments: Any) -> tuple[int, Any, list[str]]:
            units, gradient, digests = real_sum(*arguments)
            spoil(gradient)
            return units, gradient, digests

        monkeypatch.setattr(portable, "_summed_gradient", spoilt_sum)
    named = r"base_model\.model\.transformer\.h\.0\.attn\.c_attn\.lora_B\.weight"
    with pytest.raises(
        NonFiniteError, match=rf"every {kind} must be finite, got 1 of .* \(step 3, {kind} of {named}\)"
    ):
        _train(tmp_path / "run", resume=False)
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == [
        "step-00000001",
        "step-00000002",
    ]


def test_an_evaluation_that_is_not_finite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose last number is no number must not be finished."""
    real = portable.evaluate

    def spoilt(model: Any, samples: Any, n_rows: int) -> float:
        model.norm.weight[0] = np.nan
        return real(model, samples, n_rows)

    monkeypatch.setattr(portable, "evaluate", spoilt)
    with pytest.raises(NonFiniteError, match="the evaluation loss must be finite, got nan; lower"):
        _train(tmp_path / "run", resume=False, max_steps=1)
    assert not (tmp_path / "run" / "golden").exists()


def test_the_metadata_names_every_beginning(stopped: Path) -> None:
    _train(stopped, resume=True)
    metadata = json.loads((stopped / "observed" / "training_metadata.json").read_text())
    assert metadata["resumed_from"] == [3]
