"""The one entry: finds the command, loads only that one, and turns every outcome into an exit code.

Exit codes: 0 same or done, 1 different, 2 could not tell (bad input, a missing part, or a fault of samebits itself,
whose traceback is shown), 130 interrupted. Python and click would both exit 1 on a crash, which would read as
"different"; here nothing but a verdict does.
"""

from __future__ import annotations

import difflib
import importlib
import os
import subprocess
import sys
import traceback
from pathlib import Path

import click

from samebits.errors import SamebitsError, printable

EXIT_UNDECIDED = 2
EXIT_INTERRUPTED = 130

COMMANDS = {
    "study": "Run the whole experiment on the embedded model and report what had the same bits.",
    "vary": "Train a recipe under deliberate variations and name the factor that changes its bits.",
    "train": "Train one adapter and record the run; prints its golden digest last.",
    "compare": "Compare runs, folders or files down to the first differing element.",
    "verify": "Rebuild a run from its recipe here and compare it step by step.",
    "bisect": "Find where two runs part, down to the operation and the element, and why.",
    "trace": "Write down the digest of every operation of one step of a recorded run.",
    "prove": "Prove that a sample took part in a step of a run, or check such a proof.",
    "analyze": "Score run folders and write the report.",
    "doctor": "Measure the seven points that a repeatable training needs on this machine.",
    "image": "Build the container image twice and compare the two, or compare any two images.",
    "make-base": "Write a seeded base model, or convert a pytorch_model.bin.",
    "env": "Print this machine's environment fingerprint.",
}
"""Command and one-line help: here, so that `samebits --help` imports no command."""


class Program:
    """The context object of a process that is samebits and nothing else, so that it may be replaced."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import `samebits.cli.<name>` and return its `command`."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"samebits.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Refuse a name that is no command with the nearest one that is."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            nearest = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"; did you mean `{nearest[0]}`?" if nearest else ""
            ctx.fail(f"no such command: `{printable(name)}`{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table without importing what it names."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="samebits", prog_name="samebits")
def group() -> None:
    """LoRA fine-tuning that anyone can rebuild to the bit.

    Exit codes: 0 same or done, 1 different, 2 could not tell.
    """


def reexecute_with_hash_seed(seed: int) -> None:
    """Start this program again with PYTHONHASHSEED set, for Python reads it only at start-up.

    Returns at once where it is set to `seed` already, or where samebits runs inside another program (a test, a
    notebook), which cannot be replaced.
    """
    context = click.get_current_context(silent=True)
    if context is None or not isinstance(context.find_root().obj, Program):
        return
    if os.environ.get("PYTHONHASHSEED") == str(seed):
        return
    arguments = [sys.executable, *sys.orig_argv[1:]]
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":
        # Windows' exec returns to the shell at once; a child that is waited for keeps the exit code.
        raise SystemExit(subprocess.run(arguments, env=environment, check=False).returncode)
    os.execve(sys.executable, arguments, environment)  # noqa: S606


def run(arguments: list[str] | None = None, program: Program | None = None) -> int:
    """Run one command line and return its exit code."""
    try:
        outcome = group.main(arguments, prog_name="samebits", standalone_mode=False, obj=program)
        return outcome if isinstance(outcome, int) else 0
    except click.ClickException as error:
        error.show()
        return EXIT_UNDECIDED
    except SamebitsError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has left (`samebits compare A B | head`): nobody is there to be told.
        _give_up_output()
        return EXIT_UNDECIDED
    except Exception as error:  # noqa: BLE001 (the outermost handler: a crash must not exit 1)
        if _was_interrupted(error):
            click.echo("interrupted", err=True)
            return EXIT_INTERRUPTED
        if _is_output_refused(error):
            _give_up_output()
            click.echo(f"error: standard output must take the text, got {printable(str(error))}", err=True)
            return EXIT_UNDECIDED
        traceback.print_exc()
        click.echo(f"error: samebits itself failed: {printable(str(error))}", err=True)
        return EXIT_UNDECIDED


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether an interruption lies behind an error: transformers' lazy imports turn Ctrl-C into an import error."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _is_output_refused(error: BaseException) -> bool:
    """Whether an error comes from printing, not from a file: all that is printed goes through `click.echo`."""
    last = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][-1:]
    return isinstance(error, OSError) and any(frame.f_globals.get("__name__") == "click.utils" for frame in last)


def _give_up_output() -> None:
    """Throw away what standard output still holds, or Python's exit would fail once more on it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """Run as a program."""
    for name in ("stdout", "stderr"):
        # Started with the stream closed (`>&-`): Python has None there.
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (as long as the process)
    raise SystemExit(run(program=Program()))
