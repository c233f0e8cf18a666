"""`samebits make-base`: a base with seeded weights, or one converted from a pickle, as an ordinary model folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from samebits.errors import UsageError


@click.command("make-base")
@click.option("--like", help="Shape of a real architecture; `--list` shows them.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=42, show_default=True, help="Seed of the weights.")
@click.option("--from-bin", help="Folder or hub name of a base that exists only as pytorch_model.bin.")
@click.option("--revision", help="Commit of a hub name given to --from-bin.")
@click.option("--out", type=click.Path(path_type=Path), help="New or empty folder to write.")
@click.option("--list", "list_shapes", is_flag=True, help="Print the shapes and exit.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    like: str | None,
    seed: int,
    from_bin: str | None,
    revision: str | None,
    out: Path | None,
    list_shapes: bool,
    as_json: bool,
) -> None:
    """Write a base model of a real architecture with seeded weights, the same bits on every platform.

    A seeded base carries the bundled tokenizer of 512 tokens: it has the shape and the cost of the real model, not
    its knowledge. `--from-bin` reads a pickled checkpoint once, by torch's weights-only loader, and writes safetensors.
    """
    if list_shapes:
        _print_shapes(as_json)
        return
    if out is None or (like is None) == (from_bin is None):
        raise UsageError("make-base takes --like SHAPE or --from-bin FOLDER, and --out FOLDER")
    if revision is not None and (from_bin is None or Path(from_bin).exists()):
        raise UsageError("--revision belongs to a hub name given to --from-bin", remedy="leave it out")
    if from_bin is not None:
        _convert(from_bin, revision, out)
    else:
        _write(str(like), seed, out)
    from samebits.models.base import find_base

    base = find_base(str(out), None)
    facts: dict[str, Any] = {"out": str(out), **base.document}
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(f"{out}: {base.architecture}, {base.n_parameters:,} parameters")
    if like is not None:
        click.echo("tokenizer: the bundled one, 512 tokens; ids stay below the base's vocabulary")
    click.echo(f"weights sha256: {base.weights_sha256}")


def _write(like: str, seed: int, out: Path) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from samebits.models.seeded import write_base

    console = Console(stderr=True)
    columns = (TextColumn("weights"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("weights", total=None)
        write_base(like, seed, out, on_bytes=lambda done, total: progress.update(task, completed=done, total=total))


def _convert(from_bin: str, revision: str | None, out: Path) -> None:
    from samebits.models.hub import HUB_NAME, download
    from samebits.pytorch.extra import require_torch

    require_torch()
    folder = Path(from_bin)
    if not folder.exists():
        if HUB_NAME.fullmatch(from_bin) is None:
            raise UsageError("--from-bin must be a model folder or a hub name", got=repr(from_bin))
        folder = download(from_bin, revision, weights="bin")
    from samebits.pytorch.conversion import convert_bin

    convert_bin(folder, out)


def _print_shapes(as_json: bool) -> None:
    from samebits.models.shapes import SHAPES

    if as_json:
        click.echo(json.dumps({name: about for name, (about, _) in SHAPES.items()}))
        return
    width = max(map(len, SHAPES))
    for name, (about, _) in SHAPES.items():
        click.echo(f"{name:<{width}}  {about}")
