"""`samebits train`: one run, from a recipe to a golden digest."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from samebits.cli.main import reexecute_with_hash_seed
from samebits.cli.training_lines import Bar, Lines
from samebits.errors import UsageError, printable
from samebits.recipe.reader import read_settings
from samebits.recipe.settings import STOCK, Settings, kind_of


@click.command("train")
@click.argument("recipe", required=False, type=click.Path(path_type=Path))
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting, over the recipe's; repeatable."
)
@click.option("--out", type=click.Path(path_type=Path), help="The run folder; a new one under artifacts/ if left out.")
@click.option("--resume", is_flag=True, help="Go on with the killed run in --out.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
@click.option("--list-settings", is_flag=True, help="Print every setting, its default and its other names.")
def command(
    recipe: Path | None,
    overrides: tuple[str, ...],
    out: Path | None,
    resume: bool,
    as_json: bool,
    list_settings: bool,
) -> None:
    """Train one adapter by RECIPE (YAML or JSON; the embedded model and data if left out) and record the run.

    The last line is the golden digest: one SHA-256 for everything that must be the same elsewhere.

    Exit codes: 0 done, 2 not done.
    """
    if list_settings:
        _print_settings(as_json)
        return
    settings = read_settings(recipe, overrides)
    out = out or (Path(settings.output_dir) if settings.output_dir else None)
    if resume and out is None:
        raise UsageError("--resume must know the run folder", got="none", remedy="name it with --out")
    if settings.numerics == STOCK:
        reexecute_with_hash_seed(settings.seed)
    from samebits.record.environment import new_run_folder
    from samebits.study.trainer import trainer

    train = trainer(settings.numerics)
    out = out or new_run_folder(settings.environment)
    progress = (Bar if sys.stderr.isatty() else Lines)(settings.logging_steps)
    try:
        outcome = train(settings, out, resume=resume, progress=progress)
    except KeyboardInterrupt:
        if out.exists():
            told = shlex.quote(printable(str(out)))
            click.echo(f"stopped: the same command with --out {told} --resume goes on to the same bits", err=True)
        raise
    if as_json:
        document = {"golden_digest": outcome.golden_digest, "output_dir": str(out), "results": outcome.results}
        click.echo(json.dumps(document, allow_nan=False))
        return
    for name in ("train_loss", "eval_loss", "train_perplexity", "eval_perplexity"):
        click.echo(f"{name:<16} {_number(outcome.results, name)}")
    click.echo(f"{'run':<16} {printable(str(out))}")
    click.echo(outcome.golden_digest)


def _number(results: dict[str, Any], name: str) -> str:
    if results[name] is None:
        split = name.partition("_")[0]
        return f"none ({results[f'{split}_note']})"
    return f"{results[name]:<20} {results[f'{name}_hex']}"


def _print_settings(as_json: bool) -> None:
    rows = [
        {
            "name": name,
            "default": field.default,
            "role": kind_of(name).role,
            "aliases": [
                f"{alias.name} (inverted)" if alias.inverted else alias.name for alias in kind_of(name).aliases
            ],
            "description": field.description,
        }
        for name, field in Settings.model_fields.items()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['name']} = {json.dumps(row['default'])}  [{row['role']}]")
        click.echo(f"    {row['description']}")
        if row["aliases"]:
            click.echo(f"    also: {', '.join(row['aliases'])}")
