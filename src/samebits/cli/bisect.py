"""`samebits bisect`: where two runs part, down to the operation and the element, and why."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from samebits.cli.main import reexecute_with_hash_seed
from samebits.errors import RecordError
from samebits.recipe.settings import STOCK
from samebits.report.bisection import render
from samebits.study.rebuild import Sources
from samebits.study.reexecution import Reexecution, at_hand
from samebits.verify.bisection import bisect
from samebits.verify.difference import EXIT_CODES
from samebits.verify.sides import read_side

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
FOLDER = click.Path(path_type=Path)


def _per_side(name: str, what: str) -> Callable[[Decorated], Decorated]:
    """Return an option for both sides, and one for each side alone."""

    def decorated(function: Decorated) -> Decorated:
        for suffix, whose in (("-b", "B's"), ("-a", "A's"), ("", "both runs'")):
            function = click.option(f"--{name}{suffix}", help=f"{whose} {what}.")(function)
        return function

    return decorated


@click.command("bisect")
@click.argument("a", type=FOLDER)
@click.argument("b", type=FOLDER, required=False)
@_per_side("base", "base: a folder, or a hub name with its commit behind an @")
@_per_side("data", "training data: a JSONL file, or a folder with train.jsonl")
@_per_side("eval-data", "evaluation data, where the recipe has a file of its own")
@_per_side("chat-template", "chat template, where the recipe has one of its own")
@click.option("--operations-a", type=FOLDER, help="Folder with A's operation traces, as samebits trace writes them.")
@click.option("--operations-b", type=FOLDER, help="The same of B.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Execute steps with so many threads, not the recorded.")
@click.option("--no-run", is_flag=True, help="Compare the records only; execute nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole finding as JSON, digests whole.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    a: Path,
    b: Path | None,
    operations_a: Path | None,
    operations_b: Path | None,
    threads: int | None,
    no_run: bool,
    as_json: bool,
    **sources: str | None,
) -> None:
    """Find where two runs part, A and B, or A and this machine: step, module, operation, tensor, element, and why.

    The steps are searched by halves over the chain of their digests. The first that differs is executed here again,
    twice, as each run was executed, wherever base and data are at hand (the embedded ones are). Operations are traced
    here where this machine gives a side's bits again, or read from the run folders or --operations-a and -b.

    Exit codes: 0 same, 1 different and placed, 2 could not tell. A cause is "undecided" where the evidence does not
    separate several; that does not move the exit code.
    """
    _restart_where_hashes_decide(a)
    ours, theirs = _sources(sources, "a"), _sources(sources, "b" if b is not None else "a")
    rerunner = None if no_run else Reexecution({"A": ours, "B": theirs}, threads, as_recorded=b is not None)
    known = at_hand(ours, theirs, A=operations_a, B=operations_b)
    found = bisect(a, b, rerunner, known)
    if as_json:
        click.echo(json.dumps(found.as_document(), indent=2, allow_nan=False))
    else:
        text = render(found, width=shutil.get_terminal_size().columns if sys.stdout.isatty() else None)
        encoding = sys.stdout.encoding or "utf-8"
        click.echo(text.encode(encoding, "backslashreplace").decode(encoding), nl=False)
    ctx.exit(EXIT_CODES[found.verdict])


def _restart_where_hashes_decide(path: Path) -> None:
    """A stock step must be executed under the hash seed that the run had; the portable arithmetic hashes nothing."""
    try:
        recipe = read_side("A", path).recipe or {}
    except RecordError:
        # Told where the run itself is asked for.
        return
    settings = recipe.get("settings")
    seed = settings.get("seed") if isinstance(settings, dict) else None
    if recipe.get("numerics") == STOCK and type(seed) is int:
        reexecute_with_hash_seed(seed)


def _sources(options: dict[str, str | None], side: str) -> Sources:
    def of(name: str) -> str | None:
        return options[f"{name}_{side}"] or options[name]

    base, _, revision = (of("base") or "").partition("@")
    if not revision or Path(of("base") or "").exists():
        base, revision = of("base") or "", ""
    return Sources(base or None, revision or None, of("data"), of("eval_data"), of("chat_template"))
