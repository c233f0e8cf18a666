"""What the documents say exists: commands, options, settings, make targets, files."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from samebits.cli.main import COMMANDS, group

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def _code_lines(text: str) -> Iterator[str]:
    for block in re.findall(r"^```[a-z]*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        yield from block.replace("\\\n", " ").replace("`\n", " ").splitlines()
    yield from re.findall(r"^ {4}(\S.*)$", text, flags=re.MULTILINE)
    yield from re.findall(r"`([^`\n]+)`", text)


def _command_lines(text: str) -> Iterator[list[str]]:
    for line in _code_lines(text):
        found = re.search(r"(?:^|[/\\])samebits(?:\.exe)? ([a-z-]+)(.*)$", line)
        if found:
            yield [found[1], *shlex.split(found[2].partition(" #")[0])]


def _wrong_in(words: list[str]) -> list[str]:
    name, *arguments = words
    context = click.Context(group)
    command = group.get_command(context, name)
    # `samebits image build`: the commands of a command.
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        name = f"{name} {arguments[0]}"
        context = click.Context(command, parent=context)
        command = command.get_command(context, arguments.pop(0))
    if command is None:
        return [name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return [f"{name} {word}" for word in arguments if word.startswith("--") and word.partition("=")[0] not in known]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_in_documents_exist(document: Path) -> None:
    lines = list(_command_lines(document.read_text(encoding="utf-8")))
    assert [word for words in lines for word in _wrong_in(words)] == []


def test_a_command_that_does_not_exist_would_be_found() -> None:
    text = "samebits fly --high\nsamebits compare a b --loosely\nsamebits image burn\nsamebits image build --hot"
    lines = list(_command_lines(f"```\n{text}\n```"))
    wrong = [["fly"], ["compare --loosely"], ["image burn"], ["image build --hot"]]
    assert [_wrong_in(words) for words in lines] == wrong


def test_readme_names_every_command() -> None:
    rows = re.findall(r"^\| `samebits ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert rows == list(COMMANDS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    local = [target for target in targets if "://" not in target]
    broken = [target for target in local if not (document.parent / target).exists()]
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_source_files_in_documents_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    paths = re.findall(r"`((?:src|tests|tools|docs|requirements)/[\w./-]+\.\w+)(?::\w+)?`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []


def _make_targets_in(text: str) -> set[str]:
    return {found[1] for line in _code_lines(text) if (found := re.match(r"make ([a-z-]+)", line))}


def test_make_targets_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = {document.name: _make_targets_in(document.read_text(encoding="utf-8")) for document in DOCUMENTS}
    assert {name: found - targets for name, found in named.items() if found - targets} == {}
    assert named["README.md"] == {"study", "test"}


def test_scripts_of_the_windows_steps_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("```powershell")[2].partition("```")[0]
    scripts = re.findall(r"\btools\\\S+", text)
    assert len(scripts) == 2
    assert all((ROOT / script.replace("\\", "/")).is_file() for script in scripts)


def _tool(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def test_table_of_factors_is_current() -> None:
    page = (ROOT / "docs" / "vary.md").read_text(encoding="utf-8")
    tool = _tool("make_vary_table")
    assert tool.render(page) == page, "run .venv/bin/python tools/make_vary_table.py"
    assert tool.render(page.replace("PYTHONHASHSEED", "")) == page, "an edited table is made anew"


def test_table_of_settings_is_current() -> None:
    expected = _tool("make_settings_table").render()
    actual = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert actual == expected, "run .venv/bin/python tools/make_settings_table.py"
