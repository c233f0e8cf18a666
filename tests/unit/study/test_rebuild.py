"""A recorded recipe is trained again to the same trace, and anything else than what it names is refused by digest."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from samebits.data.reader import embedded_path
from samebits.errors import DataError, ModelError, RecipeError, RecordError
from samebits.models.seeded import embedded_folder
from samebits.recipe.reader import settings_from
from samebits.record.progress import Silence
from samebits.record.trace import read_trace
from samebits.study.rebuild import Sources, rebuild
from samebits.study.trainer import trainer

STEPS = 2


@pytest.fixture(scope="module", params=["portable-f32", "stock"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rebuild") / "run"
    settings = settings_from({"numerics": request.param, "max_steps": STEPS}, where="here")
    trainer(request.param)(settings, out, resume=False, progress=Silence())
    return out


@pytest.fixture
def recipe(run: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((run / "golden" / "recipe.json").read_text())
    return document


def test_a_recorded_recipe_gives_its_trace_again(run: Path, recipe: dict[str, Any]) -> None:
    session = rebuild(recipe, Sources())
    assert (session.n_steps, session.step, session.recipe) == (STEPS, 0, recipe)
    recorded = read_trace((run / "golden" / "trace.jsonl").read_bytes(), "trace")
    assert [session.take_step() for _ in range(STEPS)] == recorded
    assert session.step == STEPS
    results = json.loads((run / "golden" / "results.json").read_text())
    assert session.golden_documents()["results"] == results


@pytest.mark.parametrize("numerics", ["portable-f32"])
def test_base_and_data_may_lie_elsewhere(numerics: str, run: Path, recipe: dict[str, Any], tmp_path: Path) -> None:
    base = shutil.copytree(embedded_folder(), tmp_path / "base")
    data = shutil.copy(embedded_path(), tmp_path / "data.jsonl")
    assert rebuild(recipe, Sources(base=str(base), data=str(data))).recipe == recipe


def _changed(recipe: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(recipe)
    *parents, last = place.split(".")
    inner = changed
    for key in parents:
        inner = inner[key]
    inner[last] = value
    return changed


@pytest.mark.parametrize(
    ("place", "value", "error", "words"),
    [
        ("base.weights_sha256", "0" * 64, ModelError, "weights_sha256 is 0000.*none named.*--base"),
        ("data.train.raw_sha256", "0" * 64, DataError, "train data must be the file whose SHA-256 is 0000.*--data"),
        ("data.evaluation.raw_sha256", "0" * 64, DataError, "evaluation data must be.*0000.*--eval-data"),
        ("data.train.token_ids_sha256", "0" * 64, RecipeError, r"data\.train\.token_ids_sha256 .*, recorded as '000"),
        ("base.tokenizer_sha256", "0" * 64, RecipeError, r"base\.tokenizer_sha256 .*, recorded as '000"),
        ("settings.max_steps", "many", RecipeError, "`max_steps`.*'many'"),
        ("settings.unknown", 1, RecipeError, "every key must be a known setting, got `unknown`"),
        ("settings", [], RecordError, "settings, base and data"),
        ("data", None, RecordError, "settings, base and data"),
        ("data.train", None, RecordError, "must have `train`"),
        ("extra", 1, RecipeError, "extra None, recorded as 1"),
    ],
)
def test_another_recipe_is_refused(
    recipe: dict[str, Any], place: str, value: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        rebuild(_changed(recipe, place, value), Sources())


def test_another_version_of_the_arithmetic_is_refused(recipe: dict[str, Any]) -> None:
    if recipe["numerics"] == "stock":
        pytest.skip("stock kernels have no version of ours")
    with pytest.raises(RecipeError, match="numerics version 1, got 2"):
        rebuild(_changed(recipe, "numerics_version", 2), Sources())


def test_another_base_is_refused_by_its_digest(recipe: dict[str, Any], tmp_path: Path) -> None:
    base = shutil.copytree(embedded_folder(), tmp_path / "base")
    weights = base / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-4] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match=r"weights_sha256 is .*, got weights_sha256 [0-9a-f]{64} \("):
        rebuild(recipe, Sources(base=str(base)))


def test_other_data_are_refused_by_their_digest(recipe: dict[str, Any], tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_bytes(embedded_path().read_bytes() + b"\n")
    with pytest.raises(DataError, match="train data must be the file whose SHA-256 is"):
        rebuild(recipe, Sources(data=str(data)))
