"""`samebits image`: the container image of the study, built twice, and the comparison of any two images."""

from __future__ import annotations

import json
from pathlib import Path

import click

from samebits.images.archive import Image, read_image
from samebits.images.build import EPOCH, Built, Plan, build_twice, load
from samebits.images.check import Comparison, check
from samebits.images.container import BUILDERS, STUDY_IMAGE, find_engine
from samebits.images.context import LOCKS
from samebits.report.table import render_table

N_SHOWN = 20


@click.group("image", short_help="Build the container image twice and compare the two, or compare any two images.")
def command() -> None:
    """Container images that come out the same, bit for bit: docs/images.md."""


@command.command("build")
@click.option(
    "--engine", "asked", type=click.Choice(["auto", *BUILDERS]), default="auto", show_default=True, help="What builds."
)
@click.option(
    "--source",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=".",
    show_default=True,
    help="A checkout of samebits.",
)
@click.option("--base", metavar="IMAGE@sha256:...", help="A base image; one is made of Debian packages where left out.")
@click.option(
    "--base-archive",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A base that was made before, used by both builds.",
)
@click.option("--mirror", metavar="URL", help="Where Debian packages come from, such as a dated snapshot.")
@click.option("--torch", "with_torch", is_flag=True, help="Put PyTorch's CPU build in, for the profile stock.")
@click.option("--epoch", type=click.IntRange(min=0), default=EPOCH, help="The one time in the image, in seconds.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("artifacts") / "images",
    show_default=True,
    help="Folder for first.tar and second.tar.",
)
@click.option("--no-load", is_flag=True, help=f"Do not load the image into the engine's store as {STUDY_IMAGE}.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def build(
    ctx: click.Context,
    *,
    asked: str,
    source: Path,
    base: str | None,
    base_archive: Path | None,
    mirror: str | None,
    with_torch: bool,
    epoch: int,
    out: Path,
    no_load: bool,
    as_json: bool,
) -> None:
    """Build the image twice, each time from nothing, and compare: the last line is its digest.

    The second build runs later, in another folder, with an empty store, another umask and an empty compiler cache.

    Exit codes: 0 both are the same, 1 they differ, 2 one could not be built.
    """
    if base and "@sha256:" not in base:
        raise click.UsageError("--base must name an image by its digest, IMAGE@sha256:<64 hex digits>")
    engine = find_engine(asked, BUILDERS)
    lock = LOCKS[with_torch]
    plan = Plan(source.resolve(), engine, lock, base, base_archive, mirror, epoch)
    built = build_twice(plan, out, lambda line: click.echo(line, err=True))
    if built.comparison.is_same and not no_load:
        load(engine, out / "first.tar")
    if as_json:
        document = {
            **built.comparison.document(),
            "engine": f"{engine.name} {engine.version}",
            "source_sha256": built.source_sha256,
            "moved_packages": list(built.moved),
            "wall_s": list(built.wall_s),
        }
        click.echo(json.dumps(document, indent=2))
    else:
        _print_build(built, f"{engine.name} {engine.version}")
    ctx.exit(0 if built.comparison.is_same else 1)


@command.command("check")
@click.argument("golden", type=click.Path(path_type=Path))
@click.argument("candidate", required=False, type=click.Path(path_type=Path))
@click.option("--all", "show_all", is_flag=True, help=f"Show every difference, not the first {N_SHOWN}.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@click.pass_context
def check_command(ctx: click.Context, golden: Path, candidate: Path | None, show_all: bool, as_json: bool) -> None:
    """Compare two images, each an OCI layout (folder or tar) or an archive of `docker save`.

    Where they differ, every file is named with the cause: clock, owner, mode, order, pyc, content. Of one image alone
    its own digests are checked. The last line is the digest: the image ID, which compression does not reach.

    Exit codes: 0 the same (or whole), 1 they differ, 2 one cannot be read.
    """
    image = read_image(golden)
    if candidate is None:
        if as_json:
            click.echo(json.dumps({"verdict": "whole", "image_id": image.digest}, indent=2))
        else:
            click.echo(f"WHOLE  every digest in {golden} is right\n{_described(image)}\n{image.digest}")
        return
    comparison = check(image, read_image(candidate))
    if as_json:
        click.echo(json.dumps(comparison.document(), indent=2))
    else:
        _print(comparison, len(comparison.findings) if show_all else N_SHOWN)
    ctx.exit(0 if comparison.is_same else 1)


def _print_build(built: Built, engine: str) -> None:
    for phrase in built.moved:
        click.echo(f"note: another package than docker/base/packages.txt locks: {phrase}")
    click.echo(f"source: {built.source_sha256}")
    click.echo(f"engine: {engine}; {', '.join(f'{seconds:.0f} s' for seconds in built.wall_s)}")
    _print(built.comparison, N_SHOWN)


def _print(comparison: Comparison, n_shown: int) -> None:
    golden, findings = comparison.golden, comparison.findings
    if comparison.is_same:
        click.echo(f"SAME  {comparison.candidate.path}\n{_described(golden)}")
    else:
        click.echo(f"DIFFERENT  {comparison.candidate.path}: {', '.join(comparison.causes())}\n")
        rows = [
            (finding.cause, finding.where, finding.path or "-", finding.golden, finding.candidate)
            for finding in findings[:n_shown]
        ]
        click.echo(render_table(("cause", "where", "what", "golden", "candidate"), rows))
        if len(findings) > n_shown:
            click.echo(f"and {len(findings) - n_shown} more: --all shows them")
        click.echo(f"\n{golden.digest}  golden")
    click.echo(comparison.candidate.digest)


def _described(image: Image) -> str:
    lines = [f"layer {number}: {layer.diff_sha256}" for number, layer in enumerate(image.layers, start=1)]
    if image.manifest_sha256:
        lines.append(f"manifest: {image.manifest_sha256}")
    return "\n".join(lines)
