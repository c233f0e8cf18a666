"""A recorded recipe becomes a training on this machine again: its base and its data are known by digest alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samebits.data.reader import find_files
from samebits.errors import DataError, ModelError, RecipeError, RecordError
from samebits.models.base import find_base
from samebits.models.inputs import Inputs, find_inputs
from samebits.numerics.ops import NUMERICS_VERSION
from samebits.recipe.reader import settings_from
from samebits.recipe.settings import EMBEDDED, STOCK, Settings
from samebits.verify.session import Session

WHERE = "golden/recipe.json"


@dataclass(frozen=True)
class Sources:
    """Where this machine keeps what a recipe names by digest; what is left out is the embedded one, if it fits.

    Args:
        base: a folder, or a hub name with its commit in `revision`.
        data: a JSONL file, or a folder with train.jsonl.
        evaluation: a JSONL file, where the recipe has one of its own.
        chat_template: a Jinja file, or `chatml`, where the recipe has one of its own.
    """

    base: str | None = None
    revision: str | None = None
    data: str | None = None
    evaluation: str | None = None
    chat_template: str | None = None


def rebuild(recipe: Mapping[str, Any], sources: Sources, execution: Mapping[str, Any] | None = None) -> Session:
    """Return a training of a recorded recipe before its first step.

    Args:
        recipe: of `golden/recipe.json`: a stranger's document.
        execution: settings of role execution, such as `threads`.
    Raises:
        RecordError: the document is no recipe.
        RecipeError: its settings are not those of this version, or lead to another recipe here.
        ModelError, DataError: the base or the data is missing or another one; it is asked for by digest.
        MissingExtraError: a stock recipe, without torch.
    """
    settings = settings_of(recipe, sources, execution or {})
    _check_base(recipe, sources)
    _check_data(recipe, sources)
    inputs = find_inputs(settings)
    if difference := _first_difference(recipe, inputs.recipe):
        raise RecipeError("the recipe must be the same when it is read here", got=difference, where=WHERE)
    return session(settings, inputs)


def session(settings: Settings, inputs: Inputs) -> Session:
    """Return a training by the engine of the settings' profile; no other engine's libraries are imported."""
    if settings.numerics != STOCK:
        from samebits.training.portable import Training

        return Training(settings, inputs)
    from samebits.pytorch.extra import require_torch

    require_torch()
    from samebits.pytorch.stock import StockTraining

    return StockTraining(settings, inputs)


def settings_of(recipe: Mapping[str, Any], sources: Sources, execution: Mapping[str, Any]) -> Settings:
    """Return the settings that a recorded recipe stands for, with this machine's places.

    Raises:
        RecordError: the document is no recipe.
        RecipeError: a setting that this version does not know, or another version of the arithmetic.
    """
    stated = recipe.get("settings")
    if not isinstance(stated, dict) or not all(isinstance(recipe.get(part), dict) for part in ("base", "data")):
        raise RecordError("a recipe must have settings, base and data", where=WHERE)
    if not isinstance(recipe["data"].get("train"), dict):
        raise RecordError("a recipe's data must have `train`", where=WHERE)
    if recipe.get("numerics") != STOCK and recipe.get("numerics_version") != NUMERICS_VERSION:
        raise RecipeError(
            f"the recipe must be of numerics version {NUMERICS_VERSION}",
            got=repr(recipe.get("numerics_version")),
            where=WHERE,
            remedy="rebuild it with the samebits that has that version",
        )
    values = dict(stated)
    if (n_samples := values.pop("total_train_batch_size", None)) is not None:
        # How they are cut into passes reaches no bit: one pass, unless `execution` says otherwise.
        values |= {"per_device_train_batch_size": n_samples, "gradient_accumulation_steps": 1}
    places = {
        "model_name_or_path": sources.base or EMBEDDED,
        "model_revision": sources.revision,
        "dataset_name": sources.data or EMBEDDED,
        "eval_dataset_name": sources.evaluation,
        "chat_template": sources.chat_template,
    }
    return settings_from({**values, **places, **execution}, where=WHERE)


def _check_base(recipe: Mapping[str, Any], sources: Sources) -> None:
    wanted = recipe["base"]
    found = find_base(sources.base or EMBEDDED, sources.revision).document
    if differing := [key for key in found if found[key] != wanted.get(key)]:
        asked = (
            f"the base must be the {wanted.get('architecture')} whose weights_sha256 is {wanted.get('weights_sha256')}"
        )
        got = f"{differing[0]} {found[differing[0]]}" if sources.base else "none named, and the embedded one is another"
        raise ModelError(asked, got=got, where=sources.base or WHERE, remedy="name its folder with --base")


def _check_data(recipe: Mapping[str, Any], sources: Sources) -> None:
    given = {"train": (sources.data, "--data"), "evaluation": (sources.evaluation, "--eval-data")}
    train, beside = find_files(sources.data or EMBEDDED)
    for split, (name, option) in given.items():
        wanted = recipe["data"].get(split)
        if not isinstance(wanted, dict):
            continue
        path = train
        if split == "evaluation" and wanted.get("raw_sha256") != recipe["data"]["train"].get("raw_sha256"):
            path = find_files(name)[0] if name is not None else beside or train
        if (found := _file_sha256(path)) != wanted.get("raw_sha256"):
            raise DataError(
                f"the {split} data must be the file whose SHA-256 is {wanted.get('raw_sha256')}",
                got=found if name or sources.data else "none named, and the embedded one is another",
                where=name or sources.data or WHERE,
                remedy=f"name it with {option}",
            )


def _file_sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError("the data must be readable", got=str(error), where=str(path)) from error


def _first_difference(recorded: Any, found: Any, place: str = "") -> str | None:
    """Return the first key, by name, in which two documents differ, with both values."""
    if isinstance(recorded, Mapping) and isinstance(found, Mapping):
        for key in sorted(recorded.keys() | found.keys()):
            if told := _first_difference(recorded.get(key), found.get(key), f"{place}.{key}" if place else key):
                return told
        return None
    return None if recorded == found else f"{place} {found!r}, recorded as {recorded!r}"
