"""`samebits trace`: the digest of every output of one step of a recorded run, made on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import click

from samebits.cli.main import reexecute_with_hash_seed
from samebits.errors import RecordError, UsageError, printable
from samebits.recipe.settings import STOCK, names_with_role
from samebits.record.files import read_object
from samebits.record.layout import RunFolder
from samebits.record.operations import FOLDER, LEVELS, MAX_OUTPUTS, Level, write_operations

EXIT_DIFFERENT = 1


@click.command("trace")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--step", required=True, type=int, help="The optimizer step to trace, from 1.")
@click.option("--level", type=click.Choice(LEVELS), default="op", show_default=True, help="What is digested.")
@click.option("--tensors", is_flag=True, help="Keep every output too: all of them stand in memory at once.")
@click.option("--only", multiple=True, type=int, metavar="N", help="Keep output N alone; repeatable.")
@click.option("--out", type=click.Path(path_type=Path), help="A folder; RUN/observed/operations if left out.")
@click.option("--base", help="The base's folder, or hub name; the embedded one if left out.")
@click.option("--revision", help="The commit of a hub name.")
@click.option("--data", help="The training data; the embedded one if left out.")
@click.option("--eval-data", help="The evaluation data, where the recipe has a file of its own.")
@click.option("--chat-template", help="The Jinja file, where the recipe has one of its own.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A setting of role execution; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
@click.pass_context
def command(
    ctx: click.Context,
    run: Path,
    step: int,
    level: str,
    tensors: bool,
    only: tuple[int, ...],
    out: Path | None,
    base: str | None,
    revision: str | None,
    data: str | None,
    eval_data: str | None,
    chat_template: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Rebuild RUN up to a step and write down the digest of every output of that step, in order.

    Exit codes: 0 the steps up to there are the recorded ones, 1 one of them is another here, 2 could not tell. The
    trace is written in both.
    """
    folder = RunFolder(run)
    if not run.is_dir():
        raise RecordError("a run folder must be there", got="none", where=str(run))
    _restart_where_hashes_decide(folder)
    from samebits.study.rebuild import Sources
    from samebits.study.tracing import trace_step

    traced = trace_step(
        folder,
        step,
        cast("Level", level),
        sources=Sources(base, revision, data, eval_data, chat_template),
        execution=_execution(overrides),
        keep=range(1, MAX_OUTPUTS + 1) if tensors else frozenset(only),
        on_note=lambda text: click.echo(f"note: {printable(text)}", err=True),
    )
    path = write_operations(out or run / FOLDER, traced.trace)
    difference = traced.first_difference
    if as_json:
        click.echo(json.dumps(_document(path, traced.resumed_from, len(traced.trace.outputs), difference)))
    else:
        begun = f"after the checkpoint of step {traced.resumed_from}" if traced.resumed_from else "from the beginning"
        click.echo(f"rebuilt {begun}: {_told(difference, step)}")
        click.echo(f"{len(traced.trace.outputs)} outputs of step {step} at level {level}: {printable(str(path))}")
    ctx.exit(EXIT_DIFFERENT if difference else 0)


def _restart_where_hashes_decide(run: RunFolder) -> None:
    recipe = read_object(run.path, "golden/recipe.json")
    settings = recipe.get("settings")
    seed = settings.get("seed") if isinstance(settings, dict) else None
    if recipe.get("numerics") == STOCK and type(seed) is int:
        reexecute_with_hash_seed(seed)


def _execution(overrides: tuple[str, ...]) -> dict[str, Any]:
    allowed, found = names_with_role("execution"), dict[str, Any]()
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals or name not in allowed:
            must = f"--set must be KEY=VALUE with a key of role execution: {', '.join(allowed)}"
            raise UsageError(must, got=repr(text))
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _told(difference: tuple[int, tuple[str, ...]] | None, step: int) -> str:
    if difference is None:
        return f"all lines up to step {step} are the recorded ones"
    return f"step {difference[0]} is another one here ({', '.join(difference[1])})"


def _document(
    path: Path, resumed_from: int, n_outputs: int, difference: tuple[int, tuple[str, ...]] | None
) -> dict[str, Any]:
    first = None if difference is None else {"step": difference[0], "keys": list(difference[1])}
    return {"path": str(path), "resumed_from": resumed_from, "n_outputs": n_outputs, "first_difference": first}
