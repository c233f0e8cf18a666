"""Recipes are read as users of TRL, PEFT, axolotl and others write them, and refused in one sentence."""

from pathlib import Path
from typing import Any

import pytest

from samebits.errors import RecipeError
from samebits.recipe.reader import read_settings, settings_from
from samebits.recipe.settings import Settings, kind_of

INVERTED = [(name, alias.name) for name in Settings.model_fields for alias in kind_of(name).aliases if alias.inverted]


def _recipe(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_nothing_given_is_the_embedded_default() -> None:
    assert read_settings() == Settings()


def test_yaml_numbers_are_numbers(tmp_path: Path) -> None:
    assert read_settings(_recipe(tmp_path / "r.yaml", "learning_rate: 2e-4\n")).learning_rate == 2e-4


def test_json_is_read_too(tmp_path: Path) -> None:
    assert read_settings(_recipe(tmp_path / "r.json", '{"lora_r": 8, "lora_target_modules": ["a"]}')).lora_r == 8


def test_pairs_win_over_the_file(tmp_path: Path) -> None:
    path = _recipe(tmp_path / "r.yaml", "lora_r: 8\nseed: 1\n")
    settings = read_settings(path, ["r=4"])
    assert (settings.lora_r, settings.seed) == (4, 1)


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_alias_reaches_its_setting(name: str) -> None:
    value: Any = {"val_size": 2, "lora_target_modules": ["a"]}.get(name, getattr(Settings(), name))
    for alias in kind_of(name).aliases:
        given = (not value) if alias.inverted else value
        assert getattr(settings_from({alias.name: given}, where="test"), name) == getattr(
            settings_from({name: value}, where="test"), name
        )


@pytest.mark.parametrize(("name", "alias"), INVERTED)
def test_an_opposite_alias_is_turned_round(name: str, alias: str) -> None:
    assert getattr(settings_from({alias: False}, where="test"), name) is True
    assert getattr(settings_from({alias: True}, where="test"), name) is False


@pytest.mark.parametrize(
    ("given", "targets"),
    [
        ("c_attn, c_proj", ("c_attn", "c_proj")),
        ("all-linear", ("all-linear",)),
        ("all", ("all-linear",)),
        (["c_attn"], ("c_attn",)),
    ],
)
def test_target_modules_as_users_write_them(given: Any, targets: tuple[str, ...]) -> None:
    assert settings_from({"lora_target": given}, where="test").lora_target_modules == targets


def test_order_and_repetition_of_targets_are_no_other_recipe() -> None:
    assert settings_from({"lora_target": ["b", "a", "b"]}, where="test").lora_target_modules == ("a", "b")


@pytest.mark.parametrize(
    ("pair", "name", "value"),
    [
        ("seed=010", "seed", 10),
        ("model_revision=" + "0123456789" * 4, "model_revision", "0123456789" * 4),
        ("output_dir=2024", "output_dir", "2024"),
        ("environment=2024", "environment", "2024"),
        ("environment=null", "environment", None),
        ("chat_template=no", "chat_template", "no"),
    ],
)
def test_text_stays_text_and_numbers_are_decimal(pair: str, name: str, value: Any) -> None:
    assert getattr(read_settings(None, [pair]), name) == value


def test_keys_that_ask_for_what_is_always_so_are_taken(tmp_path: Path) -> None:
    assert read_settings(_recipe(tmp_path / "r.yaml", "adapter: lora\nstage: sft\nbf16: false\n")) == Settings()
    with pytest.raises(RecipeError, match="`adapter` must be 'lora'"):
        read_settings(None, ["adapter=dora"])


def test_reserved_names_are_not_taken_for_neighbours(tmp_path: Path) -> None:
    for name in ("embedded", "chatml"):
        (tmp_path / name).mkdir()
    path = _recipe(tmp_path / "r.yaml", "model: embedded\ndataset: embedded\nchat_template: chatml\n")
    settings = read_settings(path)
    assert (settings.model_name_or_path, settings.dataset_name, settings.chat_template) == (
        "embedded",
        "embedded",
        "chatml",
    )


def test_json_escapes_are_jsons(tmp_path: Path) -> None:
    path = _recipe(tmp_path / "r.json", r'{"generation_prompts": ["\ud83d\ude00"]}')
    assert read_settings(path).generation_prompts == ("\U0001f600",)


def test_an_empty_recipe_is_the_default(tmp_path: Path) -> None:
    assert read_settings(_recipe(tmp_path / "r.yaml", "# nothing yet\n")) == Settings()


def test_a_path_in_a_file_is_taken_from_the_files_folder(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text("{}")
    settings = read_settings(_recipe(tmp_path / "r.yaml", "dataset_name: data.jsonl\nmodel: owner/name\n"))
    assert settings.dataset_name == str(tmp_path / "data.jsonl")
    assert settings.model_name_or_path == "owner/name"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lora_rnk: 3", "lora_rank"),
        ("quite_another: 3", "list-settings"),
        ("lora_r: 0", "lora_r"),
        ("lora_r: 1.5", "lora_r"),
        ("lora_r: true", "true or false"),
        ("lora_r: 8\nr: 9", "given once"),
        ("lora_r: 8\nlora_r: 9", "twice"),
        ("seed: -1", "seed"),
        ("seed: 4294967296", "seed"),
        ("learning_rate: no", "learning_rate"),
        ("learning_rate: 1e400", "finite"),
        ("lora_dropout: 1.0", "lora_dropout"),
        ("train_on_inputs: 1", "true or false"),
        ("numerics: exact", "numerics"),
        ("chat_template_date: yesterday", "chat_template_date"),
        ("chat_template_date: 2023-02-29", "day of the calendar"),
        ("- a\n- b", "key: value"),
        ("a: [", "YAML"),
        ("!!python/object:os.system {}", "YAML"),
        ("lora_r: &a [*a]", "lora_r"),
        ("? [1]\n: 2", "key"),
        ("1: 2", "known setting"),
        ("environment: ../x", "environment"),
        ("seed: !!int x", "base 10"),
        ("seed: !!timestamp x", "constructor"),
        ("seed: " + "[" * 5000, "recursion"),
        ("model_name_or_path: ''", "model_name_or_path"),
        ("dataset_name: " + "x" * 5000 + "\nseed: -1", "seed"),
        ("num_train_epochs: 99999999999999999999", "num_train_epochs"),
        ("max_steps: 10000000000", "max_steps"),
        ("threads: 100000", "threads"),
        ("lora_target_modules: []", "lora_target_modules"),
        ("load_in_4bit: true", "load_in_4bit"),
    ],
)
def test_bad_recipes_are_refused_with_the_key_and_the_file(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said) as caught:
        read_settings(_recipe(tmp_path / "r.yaml", text))
    assert "r.yaml" in str(caught.value)


def test_missing_binary_and_huge_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="readable"):
        read_settings(tmp_path / "no.yaml")
    with pytest.raises(RecipeError, match="readable"):
        read_settings(tmp_path)
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="UTF-8"):
        read_settings(tmp_path / "b.yaml")
    (tmp_path / "h.yaml").write_bytes(b"#" * (2 << 20))
    with pytest.raises(RecipeError, match="bytes"):
        read_settings(tmp_path / "h.yaml")


@pytest.mark.parametrize("pair", ["seed=-1", "seed=", "r=true", "max_iters=0"])
def test_a_bad_pair_is_named_and_not_the_file(tmp_path: Path, pair: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read_settings(_recipe(tmp_path / "r.yaml", "lora_alpha: 8"), ["lora_alpha=16", pair])
    assert f"(--set {pair})" in str(caught.value)
    assert "r.yaml" not in str(caught.value)


@pytest.mark.parametrize("pair", ["lora_r", "lora_r: 3", "=3"])
def test_a_pair_must_be_a_pair(pair: str) -> None:
    with pytest.raises(RecipeError):
        read_settings(None, [pair])
