"""A recipe file and `--set key=value` pairs become `Settings`, or one sentence that says why not."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from samebits.canonical.json_bytes import load_json
from samebits.errors import RecipeError, RecordError
from samebits.recipe.settings import ALREADY_SO, EMBEDDED, Settings, kind_of

MAX_RECIPE_BYTES = 1 << 20
RESERVED_TEMPLATES = ("chatml",)


def _is_text(annotation: Any) -> bool:
    kinds = [kind for kind in get_args(annotation) or (annotation,) if kind is not type(None)]
    return all(kind is str or (hasattr(kind, "__metadata__") and get_args(kind)[0] is str) for kind in kinds)


# Their value on the command line is text as it stands: a commit of digits alone is no number.
_TEXT_SETTINGS = {name for name, field in Settings.model_fields.items() if _is_text(field.annotation)}


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core schema: `2e-4` is a number, `010` is ten, `no` and `off` are text, keys are unique, no tags."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own attribute)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.MarkedYAMLError(problem=f"the key {key!r} twice", problem_mark=node.start_mark)
        return dict(super().construct_mapping(node, deep))

    def construct_decimal(self, node: Any) -> int:
        return int(self.construct_scalar(node))

    def construct_real(self, node: Any) -> float:
        return float(self.construct_scalar(node))


_Loader.yaml_constructors = {
    tag: constructor
    for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] in ("str", "bool", "null", "seq", "map")
}
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_decimal)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_real)
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


def read_settings(path: Path | None = None, overrides: Iterable[str] = ()) -> Settings:
    """Read a recipe file (YAML; JSON where its name ends in .json), then apply `key=value` pairs over it.

    What the file reads (model, data, template) is taken from the file's folder where it is there; everything else, and
    every path in a pair, from the current folder.

    Raises:
        RecipeError: an unreadable file, an unknown key, a value out of bounds.
    """
    values = resolve_paths(_canonical_names(_read_file(path), str(path)), path.parent) if path else {}
    origins: dict[str, str] = {}
    for pair in overrides:
        key, equals, text = pair.partition("=")
        if not equals:
            raise RecipeError("--set must be key=value", got=repr(pair))
        where = f"--set {pair}"
        (name,) = _canonical_names({key.strip(): None}, where, names_only=True) or (None,)
        value = text if name in _TEXT_SETTINGS and text not in ("null", "~", "") else _parse(text, where)
        given = _canonical_names({key.strip(): value}, where)
        values.update(given)
        origins.update(dict.fromkeys(given, where))
    return settings_from(values, where=str(path) if path else "--set", origins=origins)


def settings_from(values: Mapping[str, Any], *, where: str, origins: Mapping[str, str] | None = None) -> Settings:
    """Validate names and values, aliases included.

    Args:
        where: named in the error.
        origins: by canonical name, where a value came from if not from `where`.
    Raises:
        RecipeError: an unknown key or a value out of bounds.
    """
    named = _canonical_names(values, where)
    targets = named.get("lora_target_modules")
    if isinstance(targets, str):
        named["lora_target_modules"] = tuple(part.strip() for part in targets.split(",") if part.strip())
    elif isinstance(targets, list | tuple) and all(isinstance(target, str) for target in targets):
        named["lora_target_modules"] = tuple(targets)
    if isinstance(found := named.get("lora_target_modules"), tuple):
        # PEFT takes them as a set: order and repetition are no other recipe.
        named["lora_target_modules"] = ("all-linear",) if found == ("all",) else tuple(sorted(set(found)))
    for key, value in named.items():
        if isinstance(value, bool) and Settings.model_fields[key].annotation is not bool:
            told = (origins or {}).get(key, where)
            raise RecipeError(f"`{key}` must not be true or false", got=str(value).lower(), where=told)
    try:
        return Settings(**named)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][:1]) or "recipe"
        rule = first["msg"][:1].lower() + first["msg"][1:]
        raise RecipeError(
            f"`{key}`: {rule}",
            got=repr(named.get(key)),
            where=(origins or {}).get(key, where),
            remedy=_description_of(key),
        ) from error


def _description_of(key: str) -> str | None:
    field = Settings.model_fields.get(key)
    return f"`{key}` means: {field.description}" if field else None


def _canonical_names(values: Mapping[str, Any], where: str, *, names_only: bool = False) -> dict[str, Any]:
    known = {name: (name, False) for name in Settings.model_fields}
    for name in Settings.model_fields:
        known.update({alias.name: (name, alias.inverted) for alias in kind_of(name).aliases})
    named: dict[str, Any] = {}
    for key, value in values.items():
        if key in ALREADY_SO:
            if not names_only and value not in ALREADY_SO[key]:
                only = " or ".join(map(repr, ALREADY_SO[key]))
                raise RecipeError(f"`{key}` must be {only}", got=repr(value), where=where)
            continue
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            raise RecipeError(
                "every key must be a known setting",
                got=f"`{key}`",
                where=where,
                remedy=f"did you mean `{near[0]}`?" if near else "see `samebits train --list-settings`",
            )
        name, inverted = known[key]
        if name in named:
            raise RecipeError(f"`{name}` must be given once", got=f"`{key}` beside another name of it", where=where)
        if inverted and not names_only and not isinstance(value, bool):
            raise RecipeError(f"`{key}` must be true or false", got=repr(value), where=where)
        named[name] = (not value) if inverted else value
    return named


def _read_file(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > MAX_RECIPE_BYTES:
            raise RecipeError(f"a recipe must have at most {MAX_RECIPE_BYTES} bytes", where=str(path))
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError("the recipe must be a readable UTF-8 file", got=str(error), where=str(path)) from error
    if path.suffix == ".json":
        try:
            values = load_json(text.encode(), where=str(path))
        except RecordError as error:
            raise RecipeError("a recipe must be JSON, as its name says", got=error.got, where=str(path)) from error
    else:
        values = _parse(text, str(path)) or {}
    if not isinstance(values, dict):
        raise RecipeError("a recipe must be `key: value` lines", got=type(values).__name__, where=str(path))
    return values


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except (ValueError, RecursionError) as error:
        raise RecipeError("the recipe must be YAML or JSON", got=str(error), where=where) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f"{where}, {_mark(mark)}" if mark else where
        raise RecipeError("the recipe must be YAML or JSON", got=str(getattr(error, "problem", error)), where=at) from (
            error
        )


def _mark(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


def resolve_paths(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Take model, data and template from `folder` where they are there; change and return `values`."""
    for key in ("model_name_or_path", "dataset_name", "eval_dataset_name", "chat_template"):
        value = values.get(key)
        if isinstance(value, str) and value not in ("", EMBEDDED, *RESERVED_TEMPLATES) and _exists(folder / value):
            values[key] = str(folder / value)
    return values


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        # A name that no file system takes (too long): whoever reads it says so with its key.
        return False
