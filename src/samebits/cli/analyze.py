"""`samebits analyze`: score the run folders below a folder and write the report."""

from __future__ import annotations

from pathlib import Path

import click

from samebits.canonical.json_bytes import dump_json
from samebits.errors import UsageError
from samebits.record.layout import SUMMARY_FILE
from samebits.report.analysis import EXIT_CODES, analyze_folder
from samebits.report.files import write_report
from samebits.report.html import HEADLINES, percent
from samebits.report.runs import find_runs
from samebits.report.table import render_table
from samebits.study.rows import read_experiment


@click.command("analyze", short_help="Score run folders and write the report.")
@click.argument("folder", metavar="[DIR]", default=Path("artifacts"), type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the report; DIR where left out.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON report instead of a summary.")
def command(folder: Path, out: Path | None, as_json: bool) -> None:
    """Score every run folder below DIR (`artifacts` where left out) and write JSON, Markdown and HTML.

    A run folder is only read: where DIR is one itself, name a folder for the report with --out. Runs are held against
    each other within one recipe, by the digests of their golden files.

    Exit codes: 0 all comparable runs are the same, 1 some differ, 2 undecided.
    """
    target = out or folder
    _refuse_run_folder(target)
    document = analyze_folder(folder, experiment=read_experiment(folder))
    written = write_report(document, target)
    overall, cross = document["overall_analysis"], document["cross_environment_analysis"]
    if as_json:
        click.echo(dump_json(document), nl=False)
    else:
        rows = [
            (
                run["name"],
                run["numerics"] or "unknown",
                run["environment"],
                run["verdict"],
                (run["golden_digest"] or "none")[:12],
                *run["reasons"][:1],
            )
            for run in document["runs"]
        ]
        head = ("run", "profile", "environment", "verdict", "golden", "remark")
        click.echo(render_table(head, [(*row, "")[: len(head)] for row in rows]))
        click.echo(f"\n{HEADLINES[overall['verdict']]}: golden set score {percent(overall['score'])}, ", nl=False)
        click.echo(f"agreement across environments {percent(cross['agreement'])}")
        for entry in document["research_conclusions"]:
            click.echo(f"- {entry['conclusion']}")
        click.echo(f"report: {written[-1]}")
    click.get_current_context().exit(EXIT_CODES[overall["verdict"]])


def _refuse_run_folder(target: Path) -> None:
    # A run folder with anything else in it can no longer be resumed, and a golden folder with it is a damaged one.
    inside = next((folder for folder in target.resolve().parents if _has_run_files(folder)), None)
    if inside is None and target.is_dir() and find_runs(target) == [target]:
        inside = target
    if inside is not None:
        raise UsageError(
            "the report must not be written into a run folder",
            got="one",
            where=str(inside),
            remedy="name a folder for it with --out FOLDER",
        )


def _has_run_files(folder: Path) -> bool:
    return any((folder / name).exists() for name in (SUMMARY_FILE, "golden/recipe.json", "observed/execution.json"))
