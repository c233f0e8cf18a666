from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.canonical.digests import sha256_bytes
from samebits.canonical.json_bytes import dump_json
from samebits.canonical.safetensors_file import TensorFile, write_safetensors
from samebits.data.reader import embedded_path
from samebits.errors import ModelError, RecipeError
from samebits.models.inputs import find_inputs
from samebits.models.seeded import embedded_folder
from samebits.recipe.settings import Settings, names_with_role

TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the bundled model, in a folder with a name that is found wherever it leaks."""
    shutil.copytree(embedded_folder(), tmp_path / "private-place" / "base")
    return tmp_path / "private-place" / "base"


def change(path: Path, **changes: Any) -> None:
    document = json.loads(path.read_text()) if path.exists() else {}
    document |= changes
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not ...}))


def resize(folder: Path, name: str, n_rows: int) -> None:
    file = TensorFile(folder / "model.safetensors")
    arrays = {key: file.array(key).copy() for key in file.tensors}
    arrays[name] = np.resize(arrays[name], (n_rows, arrays[name].shape[1]))
    write_safetensors(folder / "model.safetensors", arrays)


def recipe_of(**settings: Any) -> dict[str, Any]:
    return find_inputs(Settings(**settings)).recipe


def texts_of(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(text for child in value.values() for text in texts_of(child))]
    if isinstance(value, list):
        return [text for child in value for text in texts_of(child)]
    return [value] if isinstance(value, str) else []


def test_the_recipe_has_every_part_and_every_deciding_setting() -> None:
    inputs = find_inputs(Settings())
    recipe = inputs.recipe
    assert recipe.keys() == {"record_version", "numerics", "numerics_version", "settings", "base", "data"}
    assert (recipe["record_version"], recipe["numerics"]) == (1, "portable-f32")
    assert set(recipe["settings"]) == {*names_with_role("recipe", "portable-f32"), "total_train_batch_size"}
    stock = find_inputs(Settings(numerics="stock")).recipe
    assert stock.keys() == recipe.keys() - {"numerics_version"}
    assert set(stock["settings"]) == set(names_with_role("recipe", "stock"))
    assert recipe["base"] == {
        **inputs.base.document,
        "tokenizer_sha256": inputs.tokenizer.sha256,
        "chat_template_sha256": None,
    }
    assert recipe["data"] == inputs.data.document
    # It can be written canonically: nothing in it is NaN, a tuple of paths or too large a number.
    assert json.loads(dump_json(recipe)) == json.loads(json.dumps(recipe))


def test_the_recipe_is_the_same_wherever_the_files_lie(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other-place"
    shutil.copytree(folder, other)
    shutil.copy(embedded_path(), tmp_path / "private-data.jsonl")
    elsewhere = recipe_of(
        model_name_or_path=str(folder),
        dataset_name=str(tmp_path / "private-data.jsonl"),
        output_dir=str(tmp_path / "x"),
    )
    assert elsewhere == recipe_of(model_name_or_path=str(other)) == recipe_of()


def test_no_place_reaches_the_recipe(folder: Path, tmp_path: Path) -> None:
    private = tmp_path / "private-place"
    (private / "template.jinja").write_text(TEMPLATE)
    shutil.copy(embedded_path(), private / "train.jsonl")
    shutil.copy(embedded_path(), private / "valid.jsonl")
    recipe = recipe_of(
        model_name_or_path=str(folder),
        dataset_name=str(private / "train.jsonl"),
        eval_dataset_name=str(private / "valid.jsonl"),
        val_size=0,
        chat_template=str(private / "template.jinja"),
        output_dir=str(private / "out"),
    )
    leaked = [text for text in texts_of(recipe) if "/" in text or "\\" in text or "private" in text or "jinja" in text]
    assert leaked == []
    assert not set(recipe["settings"]) & set(names_with_role("location"))


def test_a_template_is_in_the_recipe_by_its_digest(tmp_path: Path) -> None:
    dataset = tmp_path / "chat.jsonl"
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    dataset.write_text("".join(json.dumps({"messages": turns}) + "\n" for _ in range(6)))
    recipes = []
    for name, text in (("a", TEMPLATE), ("b", TEMPLATE), ("c", TEMPLATE.replace(": ", "> "))):
        (tmp_path / f"{name}.jinja").write_text(text)
        recipes.append(recipe_of(dataset_name=str(dataset), chat_template=str(tmp_path / f"{name}.jinja")))
    assert recipes[0] == recipes[1]
    assert recipes[0]["data"] != recipes[2]["data"]
    assert sha256_bytes(TEMPLATE.encode()) in texts_of(recipes[0]["data"])


def test_the_tokenizers_own_template_is_in_the_recipe_by_its_digest(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    recipe = recipe_of(model_name_or_path=str(folder))
    assert recipe["base"]["chat_template_sha256"] == sha256_bytes(TEMPLATE.encode())


def test_a_base_of_another_dtype_or_another_bit_is_another_recipe(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1000] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    ours, bundled = recipe_of(model_name_or_path=str(folder)), recipe_of()
    assert ours["base"] != bundled["base"]
    assert {**ours, "base": None} == {**bundled, "base": None}


@pytest.mark.parametrize(
    ("file", "changes", "same"),
    [
        ("tokenizer_config.json", {"eos_token": "!", "bos_token": "!"}, False),
        ("tokenizer_config.json", {"bos_token": '"'}, False),
        ("tokenizer_config.json", {"model_max_length": 77, "tokenizer_class": "Other"}, True),
        ("generation_config.json", {"temperature": 0.5}, True),
        ("README.json", {"x": 1}, True),
    ],
)
def test_what_decides_the_ids_is_in_the_digest(folder: Path, file: str, changes: dict[str, Any], same: bool) -> None:
    change(folder / file, **changes)
    assert (recipe_of(model_name_or_path=str(folder)) == recipe_of()) is same


def test_the_ends_come_from_the_base_where_the_tokenizer_does_not_say(folder: Path) -> None:
    change(folder / "tokenizer_config.json", eos_token=..., bos_token=..., pad_token=...)
    change(folder / "generation_config.json", eos_token_id=[7, 8], bos_token_id=...)
    change(folder / "config.json", bos_token_id=9)
    tokenizer = find_inputs(Settings(model_name_or_path=str(folder))).tokenizer
    assert (tokenizer.eos_token_id, tokenizer.bos_token_id) == (7, 9)


def test_a_token_beyond_the_vocabulary_is_refused(folder: Path) -> None:
    change(folder / "tokenizer_config.json", eos_token="<no such token>")
    with pytest.raises(ModelError, match="`eos_token` must be in the vocabulary"):
        recipe_of(model_name_or_path=str(folder))


def test_max_length_stays_within_the_context(folder: Path) -> None:
    assert recipe_of(max_length=512)["settings"]["max_length"] == 512
    with pytest.raises(RecipeError, match=r"`max_length` must be at most the 512 tokens .*, got 513"):
        recipe_of(max_length=513)
    change(folder / "config.json", n_positions=100)
    resize(folder, "transformer.wpe.weight", 100)
    with pytest.raises(RecipeError, match="at most the 100 tokens"):
        recipe_of(model_name_or_path=str(folder))


def test_a_tokenizer_larger_than_the_vocabulary_is_refused(folder: Path) -> None:
    change(folder / "config.json", vocab_size=511)
    resize(folder, "transformer.wte.weight", 511)
    with pytest.raises(ModelError, match=r"must know every token of its tokenizer \(512\), got `vocab_size` 511"):
        recipe_of(model_name_or_path=str(folder))


def test_a_vocabulary_with_room_to_spare_is_taken(folder: Path) -> None:
    change(folder / "config.json", vocab_size=600)
    resize(folder, "transformer.wte.weight", 600)
    assert find_inputs(Settings(model_name_or_path=str(folder))).tokenizer.vocab_size == 512


def test_a_folder_without_a_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"must hold tokenizer.json, or vocab.json with merges.txt"):
        recipe_of(model_name_or_path=str(folder))
