"""`samebits prove`: a proof that a sample took part in a step, which anybody can check without the run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import click

from samebits.canonical.atomic import write_atomic
from samebits.canonical.json_bytes import dump_json
from samebits.errors import DataError, RecordError, UsageError, printable
from samebits.record.files import parse_object
from samebits.record.layout import MAX_JSON_BYTES, RunFolder
from samebits.record.proof import ProofCheck, check_proof, make_proof

EXIT_DIFFERENT = 1


@click.command("prove")
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option("--sample", type=click.IntRange(min=0), help="The sample's place in the training split, from 0.")
@click.option("--step", type=click.IntRange(min=1), help="The step, from 1; the first one with the sample if left out.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the proof goes; to standard output if left out.")
@click.option("--check", "proof", type=click.Path(path_type=Path), help="A proof to check.")
@click.option("--data", type=click.Path(path_type=Path), help="With --check: a file that is to be the training data.")
@click.option("--json", "as_json", is_flag=True, help="With --check: print the outcome as one JSON object.")
@click.pass_context
def command(
    ctx: click.Context,
    run: Path | None,
    sample: int | None,
    step: int | None,
    out: Path | None,
    proof: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Prove that a sample's tokens and gradient took part in a step of RUN, or check such a proof with --check.

    The check reads the proof alone, and prints the golden digest that it leads to: the one to look for in what the
    makers of the run published.

    Exit codes: 0 made, or the proof holds; 1 it does not; 2 could not tell.
    """
    if proof is not None:
        if run is not None or sample is not None or step is not None or out is not None:
            raise UsageError("--check must stand without a run and what belongs to it", got="both")
        ctx.exit(_check(proof, data, as_json=as_json))
    if run is None or sample is None or data is not None:
        raise UsageError("a proof must have a run and --sample, or --check and a proof", got="neither")
    document = dump_json(make_proof(RunFolder(run), sample, step))
    if out is None:
        click.echo(document.decode(), nl=False)
        return
    if not out.parent.is_dir():
        raise UsageError("--out must lie in a folder that is there", got="none", where=str(out.parent))
    write_atomic(out, document)
    click.echo(f"proof for sample {sample}: {printable(str(out))}")


def _check(proof: Path, data: Path | None, *, as_json: bool) -> int:
    found = check_proof(_read(proof), str(proof), data_sha256=None if data is None else _file_sha256(data))
    click.echo(json.dumps(vars(found)) if as_json else _told(found))
    return EXIT_DIFFERENT if found.faults else 0


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        raise RecordError("the proof must be readable", got=str(error.strerror), where=str(path)) from error
    if len(data) > MAX_JSON_BYTES:
        raise RecordError(f"a proof must have at most {MAX_JSON_BYTES} bytes", where=str(path))
    return parse_object(data, where=str(path))


def _file_sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError("the data must be readable", got=str(error.strerror), where=str(path)) from error


def _told(found: ProofCheck) -> str:
    lines = [f"DOES NOT HOLD  {printable(fault)}" for fault in found.faults] or [
        f"HOLDS  sample {found.sample} took part in step {found.step}",
        f"tokens    {found.tokens_sha256 or 'not told'}",
        f"gradient  {found.gradient_sha256 or 'not told: the engine adds up the samples of a pass'}",
    ]
    return "\n".join([*lines, found.golden_digest])
