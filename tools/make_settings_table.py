"""Write docs/settings.md from the one table of settings, src/samebits/recipe/settings.py."""

from __future__ import annotations

import json
import types
import typing
from pathlib import Path

from samebits.recipe.settings import Role, Settings, kind_of, names_with_role

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"

HEAD = """\
# Settings

Written by `tools/make_settings_table.py` from `src/samebits/recipe/settings.py`; do not edit.

A recipe is a YAML or JSON file of these keys; `--set key=value` gives one of them on the command line. The names are
those of TRL and PEFT. Other tools' names are understood as aliases; one marked (opposite) means the reverse. An unknown
key is refused with the nearest known one.
"""

ROLES: dict[Role, str] = {
    "recipe": "They decide the bits, and stand in `golden/recipe.json` and `golden/training_args.json`.",
    "location": "Where something lies on this machine. The record holds digests of what was found, never these paths.",
    "execution": "How the work was cut up. They stand in `observed/execution.json` and are never compared.",
}
COLUMNS = "| key | default | values | meaning | aliases |\n| --- | --- | --- | --- | --- |"


def render() -> str:
    """Return the page."""
    sections = [HEAD]
    for role, meaning in ROLES.items():
        rows = "\n".join(map(_row, names_with_role(role)))
        sections.append(f"## {role.capitalize()}\n\n{meaning}\n\n{COLUMNS}\n{rows}\n")
    return "\n".join(sections)


def _row(name: str) -> str:
    field = Settings.model_fields[name]
    aliases = ", ".join(f"`{a.name}`{' (opposite)' if a.inverted else ''}" for a in kind_of(name).aliases)
    default = "" if field.default is None else f"`{json.dumps(field.default, ensure_ascii=False)}`"
    only = " (recipe under `stock` alone)" if kind_of(name).stock_only else ""
    return f"| `{name}` | {default} | {_values(field.annotation)} | {field.description}{only} | {aliases} |"


def _values(annotation: object) -> str:
    """Say a type in words: choices, number, text, list."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _values(arguments[0])
    if origin is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin in (typing.Union, types.UnionType):
        words = dict.fromkeys(_values(argument) for argument in arguments if argument is not type(None))
        return " or ".join(words)
    if origin is tuple:
        return "list of text"
    return {bool: "true, false", int: "whole number", float: "number", str: "text"}[typing.cast("type", annotation)]


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8", newline="\n")
