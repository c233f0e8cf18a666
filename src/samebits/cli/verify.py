"""`samebits verify`: rebuild a run from its recipe on this machine, and compare it step by step."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from samebits.cli.main import reexecute_with_hash_seed
from samebits.errors import RecordError, UsageError
from samebits.recipe.settings import STOCK
from samebits.record.files import read_object
from samebits.verify.difference import EXIT_CODES
from samebits.verify.recorded import Recorded, recorded_threads
from samebits.verify.reexecution import Listener
from samebits.verify.session import Session
from samebits.verify.verification import Spot, Verification, verify

if TYPE_CHECKING:
    from samebits.study.rebuild import Sources

Engine = Literal["kernels", "reference"]


@click.command("verify")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--base", metavar="DIR|HUB", help="The base model, where it is not the embedded one.")
@click.option("--revision", metavar="COMMIT", help="The commit of a base on a hub.")
@click.option("--data", metavar="FILE", help="The training data, where they are not the embedded ones.")
@click.option("--eval-data", metavar="FILE", help="The evaluation data, where the run had a file of its own for them.")
@click.option("--chat-template", metavar="FILE", help="The chat template, where the run had one of its own.")
@click.option("--spot", "n_segments", type=int, metavar="N", help="Execute N segments between checkpoints, drawn here.")
@click.option("--spot-seed", metavar="TEXT", help="Repeat an earlier choice of segments.")
@click.option("--engine", type=click.Choice(["kernels", "reference"]), default="kernels", show_default=True,
              help="Who computes: the kernels, or the oracle alone, for small runs.")  # fmt: skip
@click.option("--keep-going", is_flag=True, help="Go on after the first step that differs.")
@click.option("--out", type=click.Path(path_type=Path), help="Keep the rebuilt golden files in this new folder.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object, digests whole.")
@click.pass_context
def command(
    ctx: click.Context,
    run: Path,
    base: str | None,
    revision: str | None,
    data: str | None,
    eval_data: str | None,
    chat_template: str | None,
    n_segments: int | None,
    spot_seed: str | None,
    engine: Engine,
    keep_going: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Rebuild RUN from its recipe on this machine and compare it step by step, then file by file.

    The run's own files come first: one that was edited makes it different. The base and the data are known by digest:
    name them where they are not the embedded ones.

    Exit codes: 0 same, 1 different, 2 could not tell.
    """
    if spot_seed is not None and n_segments is None:
        raise UsageError("--spot-seed must stand beside --spot", got="none")
    if (seed := _stock_seed(run)) is not None:
        reexecute_with_hash_seed(seed)
    from samebits.study.rebuild import Sources

    rebuilder = _Rebuilder(Sources(base, revision, data, eval_data, chat_template), engine)
    spot = None if n_segments is None else Spot(n_segments, spot_seed)
    listener = _Bar() if sys.stderr.isatty() else Listener()
    with _computing(engine):
        found = verify(run, rebuilder, spot=spot, keep_going=keep_going, out=out, listener=listener)
    if as_json:
        document = {**found.as_document(), "engine": engine}
        click.echo(json.dumps(document, indent=2, allow_nan=False))
    else:
        _print(found, rebuilder.engine_words)
    ctx.exit(EXIT_CODES[found.verdict])


class _Rebuilder:
    """Makes the training that is held against a recorded run."""

    def __init__(self, sources: Sources, engine: Engine) -> None:
        self._sources, self._engine = sources, engine
        self.engine_words = "nothing yet"

    def __call__(self, recorded: Recorded) -> Session:
        from samebits.study.rebuild import rebuild

        is_stock = recorded.recipe.get("numerics") == STOCK
        if is_stock and self._engine == "reference":
            raise UsageError("--engine reference must have a portable recipe", got=STOCK, remedy="leave it out")
        if self._engine == "reference":
            from samebits.study.reference_time import check_reference_time

            check_reference_time(recorded.recipe, len(recorded.trace))
        # The number of threads decides the bits of stock kernels.
        threads = recorded_threads(recorded.run) if is_stock else None
        execution = {} if threads is None else {"threads": threads}
        session = rebuild(recorded.recipe, self._sources, execution)
        self.engine_words = _engine_words(session, is_stock=is_stock)
        return session


def _engine_words(session: Session, *, is_stock: bool) -> str:
    from samebits.numerics import library

    if is_stock:
        return f"PyTorch's own kernels ({_on(session.deciding)})"
    isa = library.loaded().isa
    if isa == "reference":
        return "the reference engine, which is the specification's oracle alone"
    return f"the portable kernels ({_on({'isa': isa, 'n_threads': library.threads()})})"


def _on(facts: Mapping[str, Any]) -> str:
    return f"{facts['isa']}, {facts['n_threads']} thread{'s' if facts['n_threads'] != 1 else ''}"


@contextmanager
def _computing(engine: Engine) -> Iterator[None]:
    """Compute on the engine inside the block."""
    from samebits.numerics import library

    if engine == "kernels":
        yield
        return
    from samebits.numerics.reference.library import reference_library

    with library.using(reference_library()):
        yield


def _stock_seed(run: Path) -> int | None:
    """Return the seed of a stock recipe: Python's hash seed is set by it, and only where Python starts."""
    try:
        recipe = read_object(run, "golden/recipe.json")
    except RecordError:
        # Told later, with the verdict.
        return None
    settings = recipe.get("settings")
    seed = settings.get("seed") if isinstance(settings, dict) else None
    return seed if recipe.get("numerics") == STOCK and type(seed) is int and 0 <= seed < 2**32 else None


class _Bar(Listener):
    """A progress bar on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("verifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=Console(stderr=True),
        )  # fmt: skip
        self._task = self._bar.add_task("verifying", total=None)

    def on_start(self, n_steps: int) -> None:
        """Draw the bar."""
        self._bar.update(self._task, total=n_steps)
        self._bar.start()

    def on_step(self) -> None:
        """Move the bar."""
        self._bar.advance(self._task)

    def on_finish(self) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()


def _print(found: Verification, engine: str) -> None:
    from samebits.report.verification import render_verification

    text = render_verification(
        found, engine=engine, width=shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    )
    # A terminal of another encoding gets escapes for what it cannot show, not a UnicodeEncodeError.
    encoding = sys.stdout.encoding or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding), nl=False)
