from __future__ import annotations

import copy
from typing import Any

import pytest

from samebits.verify.asked import recipe_changes

RECIPE: dict[str, Any] = {
    "numerics": "stock",
    "numerics_version": 1,
    "settings": {"seed": 42, "learning_rate": 2e-4, "max_length": 512, "weight_decay": 0, "lora_target_modules": ["a"]},
    "base": {"weights_sha256": "1" * 64, "tokenizer_sha256": "2" * 64, "chat_template_sha256": None},
    "data": {
        "train": {"raw_sha256": "3" * 64, "token_ids_sha256": "4" * 64, "chat_template_sha256": None},
        "evaluation": {"raw_sha256": "3" * 64, "token_ids_sha256": "5" * 64, "chat_template_sha256": None},
    },
}


def changed(**values: Any) -> dict[str, Any]:
    recipe = copy.deepcopy(RECIPE)
    for path, value in values.items():
        *parents, last = path.split("__")
        inner = recipe
        for key in parents:
            inner = inner[key]
        inner[last] = value
    return recipe


def groups(**values: Any) -> dict[str, str]:
    return {change.path: change.group for change in recipe_changes(RECIPE, changed(**values))}


def test_equal_recipes_have_no_change() -> None:
    assert recipe_changes(RECIPE, copy.deepcopy(RECIPE)) == ()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"settings__seed": 43}, {"settings.seed": "recipe"}),
        ({"settings__lora_target_modules": ["a", "b"]}, {"settings.lora_target_modules": "recipe"}),
        ({"numerics_version": 2}, {"numerics_version": "code"}),
        ({"base__weights_sha256": "9" * 64}, {"base.weights_sha256": "base"}),
        (
            {"data__train__raw_sha256": "9" * 64, "data__evaluation__raw_sha256": "9" * 64},
            {"data.train.raw_sha256": "data", "data.evaluation.raw_sha256": "derived"},
        ),
        (
            {"settings__max_length": 8, "data__train__token_ids_sha256": "9" * 64},
            {"settings.max_length": "recipe", "data.train.token_ids_sha256": "derived"},
        ),
        ({"data__train__token_ids_sha256": "9" * 64}, {"data.train.token_ids_sha256": "code"}),
        (
            {"data__train__chat_template_sha256": "9" * 64, "data__train__token_ids_sha256": "9" * 64},
            {"chat_template": "recipe", "data.train.token_ids_sha256": "derived"},
        ),
    ],
)
def test_causes_are_told_from_what_follows_from_them(values: dict[str, Any], expected: dict[str, str]) -> None:
    assert groups(**values) == expected


def test_a_float_tells_its_distance() -> None:
    (change,) = recipe_changes(RECIPE, changed(settings__learning_rate=0.00020000000000000004))
    assert change.note.startswith("1 ULP")
    assert change.name == "learning_rate"


@pytest.mark.parametrize(
    ("values", "shows", "does_not"),
    [
        ({"settings__learning_rate": 1.0}, "learning_rate", "loss"),
        ({"settings__weight_decay": 1}, "parameters_sha256", "gradients_sha256"),
        ({"settings__max_length": 8}, "token_sha256", "loss"),
        ({"settings__seed": 43}, "loss", "token_sha256"),
        ({"base__weights_sha256": "9" * 64}, "loss", "token_sha256"),
        ({"base__tokenizer_sha256": "9" * 64}, "token_sha256", "loss"),
        ({"data__train__raw_sha256": "9" * 64}, "sample_tokens_sha256", "gradients_sha256"),
    ],
)
def test_a_change_shows_in_its_own_fields_first(values: dict[str, Any], shows: str, does_not: str) -> None:
    (change,) = recipe_changes(RECIPE, changed(**values))
    assert (change.shows_in(shows), change.shows_in(does_not)) == (True, False)
