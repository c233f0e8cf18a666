"""`samebits env`: the fingerprint of this machine and this Python."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from samebits.record.fingerprint import fingerprint

INDENT = "  "


@click.command("env")
@click.option("--no-torch", is_flag=True, help="Ask torch nothing: faster, and null under `torch`.")
@click.option("--json", "as_json", is_flag=True, help="Print the fingerprint as JSON.")
def command(no_torch: bool, as_json: bool) -> None:
    """Print what may explain a difference in bits: processor, system, locale, Python, packages, kernels, torch.

    Nothing secret is in it: no host or user name, no home, variables by an allow-list only.
    """
    document = fingerprint({**_numerics_facts(), **({} if no_torch else _torch_facts())})
    if as_json:
        click.echo(json.dumps(document, indent=2, allow_nan=False, sort_keys=True))
    else:
        click.echo("\n".join(_lines(document, "")))


def _numerics_facts() -> dict[str, Any]:
    from samebits.numerics.facts import library_facts

    return {"numerics": library_facts()}


def _torch_facts() -> dict[str, Any]:
    from samebits.pytorch.extra import missing_libraries

    if "torch" in missing_libraries():
        return {}
    from samebits.pytorch.facts import torch_facts

    return {"torch": torch_facts()}


def _lines(value: Mapping[str, Any], indent: str) -> list[str]:
    lines = []
    for key, child in value.items():
        if isinstance(child, Mapping) and child:
            lines += [f"{indent}{key}:", *_lines(child, indent + INDENT)]
        elif isinstance(child, list) and child and all(isinstance(item, Mapping) for item in child):
            rows = (", ".join(f"{name} {_text(part)}" for name, part in item.items()) for item in child)
            lines += [f"{indent}{key}:", *(f"{indent}{INDENT}{row}" for row in rows)]
        else:
            lines.append(f"{indent}{key}: {_text(child)}")
    return lines


def _text(value: Any) -> str:
    if value is None:
        return "not told"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
