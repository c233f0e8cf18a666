"""`samebits compare`: hold candidates against a golden, down to the first differing element."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import click

from samebits.report.text import render
from samebits.verify.compare import compare
from samebits.verify.difference import EXIT_CODES, worst_verdict


@click.command("compare")
@click.argument("golden", type=click.Path(path_type=Path))
@click.argument("candidates", metavar="CANDIDATE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--env", "show_environment", is_flag=True, help="Show the recorded machines even where the bits agree.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole tree as JSON, digests whole.")
@click.pass_context
def command(
    ctx: click.Context, golden: Path, candidates: tuple[Path, ...], show_environment: bool, as_json: bool
) -> None:
    """Hold each CANDIDATE against GOLDEN, bit for bit.

    Each is a run folder, any other folder, or a file (safetensors, JSON, JSON lines, text, bytes). Of a run, golden/
    is compared; what it observed of its machine is shown and never judged.

    Exit codes: 0 same, 1 different, 2 could not tell. Of several candidates, one that differs decides.
    """
    comparisons = [compare(golden, candidate, show_environment=show_environment) for candidate in candidates]
    verdict = worst_verdict(comparisons)
    if as_json:
        documents = [comparison.as_document() for comparison in comparisons]
        click.echo(json.dumps({"verdict": verdict, "comparisons": documents}, indent=2, allow_nan=False))
    else:
        _print(render(comparisons, width=shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
    ctx.exit(EXIT_CODES[verdict])


def _print(text: str) -> None:
    # A terminal of another encoding gets escapes for what it cannot show, not a UnicodeEncodeError.
    encoding = sys.stdout.encoding or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding), nl=False)
