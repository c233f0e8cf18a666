"""`samebits vary`: a recipe under deliberate variations, and the factor that changes its bits."""

from __future__ import annotations

import itertools
import shlex
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click

from samebits.canonical.json_bytes import dump_json
from samebits.errors import MissingExtraError, printable
from samebits.recipe.reader import read_settings
from samebits.recipe.settings import Settings
from samebits.report.analysis import analyze_folder
from samebits.report.files import write_report
from samebits.report.html import headline_of
from samebits.report.matrix import matrix_of
from samebits.report.table import render_table
from samebits.study.factors import CATALOGUE, NAMES, here
from samebits.study.progress import LiveMatrix, PlainLines, cell_text
from samebits.study.rows import EXIT_CODES, Experiment
from samebits.study.runner import DEFAULT_TIMEOUT_S, ChildRunner
from samebits.study.vary import Choice, run_vary


@click.command("vary", short_help="Train a recipe under deliberate variations.")
@click.argument("recipe", required=False, type=click.Path(path_type=Path))
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting, over the recipe's; repeatable."
)
@click.option("--max-steps", type=click.IntRange(min=1), help="Optimizer steps to stop after: the same as --set.")
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="Every value of this factor; may be repeated.")
@click.option("--pairwise", is_flag=True, help="All factors together, so that every two values meet in some run.")
@click.option("--all", "every", is_flag=True, help="Every value of every factor alone, then the pairwise cover.")
@click.option("--no-stock", is_flag=True, help="Leave out the stock runs that must break.")
@click.option("--require-all", is_flag=True, help="A variation that changes nothing on this machine is undecided.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=1),
    default=DEFAULT_TIMEOUT_S,
    show_default=True,
    help="Seconds that one training may take.",
)
@click.option("--out", type=click.Path(path_type=Path), help="New folder; artifacts/vary_<UTC time> where left out.")
@click.option(
    "--list", "is_list", is_flag=True, help="Print the factors and what this machine can do, and train nothing."
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def command(
    recipe: Path | None,
    overrides: tuple[str, ...],
    max_steps: int | None,
    only: tuple[str, ...],
    pairwise: bool,
    every: bool,
    no_stock: bool,
    require_all: bool,
    timeout_s: float,
    out: Path | None,
    is_list: bool,
    as_json: bool,
) -> None:
    """Train RECIPE (the embedded model and data if left out) again and again, each factor changed once, alone.

    Each run must have the golden digest of the first. Where one has not, what was changed is minimised to the factor
    that makes the difference. Stock kernels are trained on too, until other threads or another instruction set break
    them: where nothing does, the variations did not vary. The last line is the golden digest.

    Exit codes: 0 same, 1 a run differed, 2 undecided (a run failed, or nothing broke stock).
    """
    settings = read_settings(recipe, (*overrides, *([f"max_steps={max_steps}"] if max_steps else [])))
    if is_list:
        _print_catalogue(settings, as_json)
        return
    signal.signal(signal.SIGTERM, _interrupt)
    out = out or Path("artifacts") / f"vary_{datetime.now(UTC):%Y%m%d_%H%M%S}"
    listener = LiveMatrix(factors=NAMES) if sys.stderr.isatty() else PlainLines()
    choice = Choice("all" if every else "pairwise" if pairwise else "once", only, not no_stock)
    try:
        experiment = run_vary(
            out,
            settings,
            runner=ChildRunner(timeout_s=timeout_s),
            listener=listener,
            choice=choice,
            require_all=require_all,
            command=_command_line(recipe, overrides, max_steps, choice, require_all=require_all),
        )
    except KeyboardInterrupt:
        click.echo(f"stopped: what was run lies in {out}, `samebits analyze {out}` reports it", err=True)
        raise
    finally:
        if isinstance(listener, LiveMatrix):
            listener.close()
    document = analyze_folder(out, experiment=experiment.document())
    page = _write_page(out, document)
    if as_json:
        click.echo(dump_json(experiment.document()), nl=False)
    else:
        _print(experiment, headline_of(document), out, page)
    click.get_current_context().exit(EXIT_CODES[experiment.verdict])


def _write_page(out: Path, document: Mapping[str, Any]) -> str:
    try:
        return str(write_report(document, out)[-1])
    except MissingExtraError as error:
        return f"none: {error}"


def _print(experiment: Experiment, headline: str, out: Path, page: str) -> None:
    document = experiment.document()
    lines = matrix_of(document["rows"], document["culprits"], document["factors"])
    cells = [(line.profile, line.factor, "  ".join(map(cell_text, line.cells))) for line in lines]
    click.echo(render_table(("profile", "factor", "seen"), cells) + "\n")
    untested = [row for row in experiment.rows if row.verdict == "not tested"]
    for reason, group in itertools.groupby(untested, lambda row: row.reason):
        click.echo(f"not tested: {', '.join(row.run for row in group)}: {reason}")
    if untested:
        click.echo()
    click.echo(f"{headline}: {experiment.sentence}")
    for finding in experiment.findings:
        click.echo(f"- {finding}")
    for culprit in experiment.culprits:
        if (next_step := culprit.next_step(out / "runs")) is not None:
            click.echo(f"next: {printable(next_step)}")
    click.echo(f"report: {page}")
    click.echo(experiment.golden_digest or "none")


def _print_catalogue(settings: Settings, as_json: bool) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        made = here(settings, Path(scratch))
    if as_json:
        rows = [
            {**asdict(factor), "values": [_value(one.name, one.unavailable) for one in made[factor.name]]}
            for factor in CATALOGUE
            if factor.name in made
        ]
        click.echo(dump_json({"factors": rows}), nl=False)
        return
    table = [
        (factor.name, one.name, "yes" if one.unavailable is None else f"no: {one.unavailable}", one.changed)
        for factor in CATALOGUE
        for one in made.get(factor.name, ())
    ]
    click.echo(render_table(("factor", "variation", "here", "changes"), table))


def _value(name: str, unavailable: str | None) -> dict[str, Any]:
    return {"name": name, "unavailable": unavailable}


def _command_line(
    recipe: Path | None, overrides: Sequence[str], max_steps: int | None, choice: Choice, *, require_all: bool
) -> str:
    words = ["samebits", "vary", *([str(recipe)] if recipe else [])]
    words += [word for pair in overrides for word in ("--set", pair)]
    words += ["--max-steps", str(max_steps)] if max_steps else []
    words += [word for factor in choice.only for word in ("--only", factor)]
    words += [] if choice.mode == "once" else [f"--{choice.mode}"]
    return shlex.join([*words, *["--no-stock"] * (not choice.stock), *["--require-all"] * require_all])


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt
