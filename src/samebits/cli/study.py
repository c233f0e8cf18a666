"""`samebits study`: the whole experiment on the embedded model."""

from __future__ import annotations

import itertools
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click

from samebits.canonical.json_bytes import dump_json
from samebits.errors import ImageError
from samebits.images.container import RUNNERS, STUDY_IMAGE, Container, find_container
from samebits.report.analysis import analyze_folder
from samebits.report.files import write_report
from samebits.report.html import headline_of
from samebits.report.table import render_table
from samebits.study.experiment import DEFAULT_RUNS, run_study
from samebits.study.plan import FACTORS
from samebits.study.progress import LiveLine, PlainLines
from samebits.study.rows import EXIT_CODES, Experiment
from samebits.study.runner import DEFAULT_TIMEOUT_S, ChildRunner
from samebits.study.variation import GOLDEN_RUNS

HEAD = ("run", "changed", "expected", "seen", "held", "golden digest")


@click.command("study", short_help="Run the whole experiment on the embedded model.")
@click.option(
    "--runs",
    "n_runs",
    type=click.IntRange(min=2),
    default=DEFAULT_RUNS,
    show_default=True,
    help="Portable runs with nothing changed, the golden run among them.",
)
@click.option("--full", is_flag=True, help="More values of each factor, and several at once: several times as long.")
@click.option("--only", multiple=True, type=click.Choice(FACTORS), help="Vary this factor only; may be repeated.")
@click.option(
    "--container",
    "asked",
    type=click.Choice(["auto", *RUNNERS, "none"]),
    help=f"Run the recipe in the image {STUDY_IMAGE} too; auto, the default of a study without --only, where it is.",
)
@click.option("--require-all", is_flag=True, help="A variation that changes nothing on this machine is undecided.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=1),
    default=DEFAULT_TIMEOUT_S,
    show_default=True,
    help="Seconds that one training may take.",
)
@click.option("--out", type=click.Path(path_type=Path), help="New folder; artifacts/study_<UTC time> where left out.")
@click.option("--json", "as_json", is_flag=True, help="Print the experiment as JSON.")
def command(
    n_runs: int,
    full: bool,
    only: tuple[str, ...],
    asked: str | None,
    require_all: bool,
    timeout_s: float,
    out: Path | None,
    as_json: bool,
) -> None:
    """Train the embedded model again and again, changing one thing at a time, and report what kept its bits.

    Under portable-f32 every run must have the same golden digest; stock, PyTorch's own kernels, is the baseline beside
    it that must be seen to break. The last line is the golden digest of the portable runs.

    Exit codes: 0 every stated expectation held, 1 one did not, 2 undecided (a run could not be made).
    """
    signal.signal(signal.SIGTERM, _interrupt)
    out = out or Path("artifacts") / f"study_{datetime.now(UTC):%Y%m%d_%H%M%S}"
    listener = LiveLine() if sys.stderr.isatty() else PlainLines()
    try:
        experiment = run_study(
            out,
            runner=ChildRunner(timeout_s=timeout_s),
            listener=listener,
            n_runs=n_runs,
            full=full,
            require_all=require_all,
            only=only,
            container=_container(asked or ("none" if only else "auto")),
            command=_command_line(n_runs, full, only, asked, require_all),
        )
    except KeyboardInterrupt:
        click.echo(f"stopped: what was run lies in {out}, `samebits analyze {out}` reports it", err=True)
        raise
    finally:
        if isinstance(listener, LiveLine):
            listener.close()
    document = analyze_folder(out, experiment=experiment.document())
    page = write_report(document, out)[-1]
    if as_json:
        click.echo(dump_json(experiment.document()), nl=False)
    else:
        _print(experiment, headline_of(document), page)
    click.get_current_context().exit(EXIT_CODES[experiment.verdict])


def _print(experiment: Experiment, headline: str, page: Path) -> None:
    cells = [
        (row.run, row.changed, row.expectation, row.verdict, _held(row.held), (row.golden_digest or "none")[:12])
        for row in experiment.rows
    ]
    head, rule, *lines = render_table(HEAD, cells).splitlines()
    for profile in GOLDEN_RUNS:
        told = [line for line, row in zip(lines, experiment.rows, strict=True) if row.profile == profile]
        if told:
            click.echo("\n".join([profile, "", head, rule, *told, ""]))
    for reason, group in itertools.groupby(experiment.rows, lambda row: row.verdict == "not tested" and row.reason):
        if reason:
            click.echo(f"not tested: {', '.join(row.run for row in group)}: {reason}")
    click.echo(f"\n{headline}: {experiment.sentence}")
    for finding in experiment.findings:
        click.echo(f"- {finding}")
    click.echo(f"report: {page}")
    click.echo(experiment.golden_digest or "none")


def _held(held: bool | None) -> str:
    return {True: "yes", False: "NO", None: "-"}[held]


def _container(asked: str) -> Container | str | None:
    """Return the image to run in, why there is none, or None where none was asked for."""
    if asked == "none":
        return None
    try:
        return find_container(asked)
    except ImageError as error:
        return str(error)


def _command_line(n_runs: int, full: bool, only: tuple[str, ...], asked: str | None, require_all: bool) -> str:
    words = ["samebits study", f"--runs {n_runs}", *(f"--only {factor}" for factor in only)]
    words += [f"--container {asked}"] * (asked is not None) + ["--full"] * full + ["--require-all"] * require_all
    return " ".join(words)


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt
