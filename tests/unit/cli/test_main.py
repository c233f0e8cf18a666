"""The one entry: exit codes, lazy commands, and re-execution."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from samebits import errors
from samebits.cli import main as entry


def _program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "samebits", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def test_help_and_version() -> None:
    shown = _program("--help")
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in entry.COMMANDS)
    assert _program("--version").stdout.startswith("samebits, version")


@pytest.mark.parametrize("arguments", [["no-such-command"], ["--no-such-option"], ["compare", "--no-such-option"]])
def test_wrong_usage_exits_2(arguments: list[str]) -> None:
    shown = _program(*arguments)
    assert shown.returncode == 2
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize("name", list(entry.COMMANDS))
def test_every_command_in_the_table_exists_and_has_json(name: str) -> None:
    command = importlib.import_module(f"samebits.cli.{name.replace('-', '_')}").command
    assert isinstance(command, click.Command)
    parts = command.commands.values() if isinstance(command, click.Group) else [command]
    for part in parts:
        assert any("--json" in parameter.opts for parameter in part.params), part.name
    assert command.help


def _failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(entry.group, "main", fail)
    return entry.run([])


def test_a_crash_exits_2_and_shows_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _failing(monkeypatch, ZeroDivisionError("planted")) == 2
    assert "Traceback" in (said := capsys.readouterr().err)
    assert "samebits itself failed: planted" in said


def test_bad_input_exits_2_in_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _failing(monkeypatch, errors.DataError("a line must be JSON", where="d.jsonl line 3")) == 2
    assert capsys.readouterr().err == "error: a line must be JSON (d.jsonl line 3)\n"


def test_an_abort_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _failing(monkeypatch, click.Abort()) == 130
    assert _failing(monkeypatch, KeyboardInterrupt()) == 130


def test_an_interruption_behind_an_import_error_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ModuleNotFoundError("Could not import module 'get_scheduler'")
    error.__cause__ = KeyboardInterrupt()
    assert _failing(monkeypatch, error) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_standard_output_is_told_in_one_sentence(unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        shown = subprocess.run(
            [sys.executable, "-m", "samebits", "--help"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert shown.returncode == 2
    assert shown.stderr == "error: standard output must take the text, got [Errno 28] No space left on device\n"


def test_an_error_of_a_file_is_not_taken_for_one_of_the_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _failing(monkeypatch, OSError(28, "planted")) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell closes the stream")
@pytest.mark.parametrize(("closed", "code"), [(">&-", 1), ("2>&-", 1), (">&- 2>&-", 1), ("<&-", 1)])
def test_a_closed_stream_changes_no_exit_code(tmp_path: Path, closed: str, code: int) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    line = f'"{sys.executable}" -m samebits compare a b {closed}'
    shown = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert shown.returncode == code
    assert "Traceback" not in shown.stderr


def test_a_commands_exit_code_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry.group, "main", lambda *_, **__: 1)
    assert entry.run([]) == 1


PROBE = """
import os, sys, click
from samebits.cli import main
@main.group.command("probe", context_settings={"ignore_unknown_options": True})
@click.argument("rest", nargs=-1)
def probe(rest):
    main.reexecute_with_hash_seed(7)
    print(os.environ.get("PYTHONHASHSEED"), hash("samebits"), rest)
    sys.exit(3)
if sys.argv[1] == "windows" and os.environ.get("PYTHONHASHSEED") != "7":
    os.name, sys.argv[1] = "nt", "program"
    os.execve = None
main.LazyGroup.get_command = lambda self, ctx, name: probe
raise SystemExit(main.run(program=main.Program() if sys.argv.pop(1) != "guest" else None))
"""


def _probe(started_as: str, hash_seed: str) -> str:
    command = [sys.executable, "-c", PROBE, started_as, "probe", "a b", "--c"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    child = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert child.returncode == 3, child.stderr
    return child.stdout


def test_the_program_starts_again_with_the_hash_seed_and_keeps_its_arguments() -> None:
    seen = {_probe(system, seed) for system in ("program", "windows") for seed in ("0", "1", "random")}
    assert len(seen) == 1
    assert seen.pop().startswith("7 ")


def test_inside_another_program_nothing_is_replaced() -> None:
    assert _probe("guest", "1").startswith("1 ")


@pytest.mark.parametrize(("name", "nearest"), [("stduy", "study"), ("compares", "compare"), ("makebase", "make-base")])
def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str], name: str, nearest: str) -> None:
    assert entry.run([name]) == 2
    assert f"no such command: `{name}`; did you mean `{nearest}`?" in capsys.readouterr().err


def test_a_command_like_no_other_has_no_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run(["\x1b[31mzzz"]) == 2
    error = capsys.readouterr().err
    assert "did you mean" not in error
    assert "\x1b" not in error
