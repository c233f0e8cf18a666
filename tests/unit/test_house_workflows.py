"""The automation: what workflows name exists, the rules hold, and each check objects to a planted workflow."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest
import yaml

from samebits.cli.main import COMMANDS, group

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FILES = [*WORKFLOWS, ROOT / "action.yml"]
CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
SETUP_PYTHON = "actions/setup-python@5fda3b95a4ea91299a34e894583c3862153e4b97 # v7.0.0"
GOOD = f"""\
name: good
on: [push]
permissions: {{}}
concurrency: good
defaults:
  run:
    shell: bash
jobs:
  one:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    permissions:
      contents: read
    steps:
      - uses: {CHECKOUT}
        with:
          persist-credentials: false
      - run: echo "$WORD"
        env:
          WORD: ${{{{ github.ref }}}}
"""


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_workflows", ROOT / "tools" / "check_workflows.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _objections(tool: ModuleType, folder: Path, text: str) -> list[str]:
    path = folder / "planted.yml"
    path.write_text(text, encoding="utf-8")
    return list(tool.objections_to(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_rules_hold(tool: ModuleType, path: Path) -> None:
    assert tool.objections_to(path) == []


PLANTED = {
    "a tag": (CHECKOUT, "actions/checkout@v7", "must be pinned"),
    "a short commit": (CHECKOUT, "actions/checkout@3d3c42e # v7.0.1", "must be pinned"),
    "no version beside the commit": (CHECKOUT, CHECKOUT.partition(" #")[0], "must be pinned"),
    "an image": (CHECKOUT, "docker://alpine:3", "must be pinned"),
    "an event in a script": ('echo "$WORD"', "echo ${{ github.event.pull_request.title }}", "pass it by env"),
    "an input in a script": ('echo "$WORD"', "echo ${{ inputs.word }}", "pass it by env"),
    "credentials kept": ("persist-credentials: false", "persist-credentials: true", "persist-credentials"),
    "credentials forgotten": ("persist-credentials: false", "fetch-depth: 1", "persist-credentials"),
    "a stranger's trigger": ("on: [push]", "on: [pull_request_target]", "pull_request_target"),
    "no permissions": ("permissions: {}\n", "", "must have `permissions: {}`"),
    "all permissions": ("permissions: {}", "permissions: write-all", "must have `permissions: {}`"),
    "a job without permissions": ("    permissions:\n      contents: read\n", "", "must list its `permissions`"),
    "a job that may write": ("contents: read", "contents: write", "nothing but"),
    "no concurrency": ("concurrency: good\n", "", "must have `concurrency`"),
    "no time limit": ("    timeout-minutes: 5\n", "", "must have `timeout-minutes`"),
    "another shell": ("shell: bash", "shell: pwsh", "shell: bash"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_each_rule_objects_to_a_planted_workflow(tool: ModuleType, tmp_path: Path, name: str) -> None:
    old, new, objection = PLANTED[name]
    assert old in GOOD
    assert _objections(tool, tmp_path, GOOD) == []
    assert re.search(re.escape(objection), "\n".join(_objections(tool, tmp_path, GOOD.replace(old, new))))


def _planted_tree(folder: Path, workflow: str = GOOD) -> Path:
    (folder / ".github" / "workflows").mkdir(parents=True)
    (folder / ".github" / "workflows" / "planted.yml").write_text(workflow, encoding="utf-8")
    (folder / "docker").mkdir()
    (folder / "docker" / "Dockerfile").write_text("FROM scratch\nCOPY a /a\n", encoding="utf-8")
    (folder / ".ci").mkdir()
    (folder / ".ci" / "run").write_text("#!/bin/sh\nset -eu\n", encoding="utf-8")
    return folder


def _linted(tool: ModuleType, root: Path, linter: str, capsys: pytest.CaptureFixture[str]) -> str:
    if shutil.which(linter, path=str(tool.SCRIPTS)) is None:
        pytest.skip(f"{linter} is not installed: run `make setup`, if there is a package of it for this system")
    tool.Checks(root).run()
    return "".join(capsys.readouterr())


FAULTS = {
    "zizmor": ("planted.yml", GOOD.replace("$WORD", "${{ github.event.head_commit.message }}"), "template-injection"),
    "check-jsonschema": ("planted.yml", GOOD.replace("timeout-minutes: 5", "timeout-minutes: soon"), "is not"),
    "shellcheck": ("planted.yml", GOOD.replace('"$WORD"', "$WORD"), "SC2086"),
    "hadolint": ("Dockerfile", "FROM debian\nRUN cd /x && sudo apt-get install y\n", "DL3006"),
}


@pytest.mark.parametrize("linter", FAULTS)
def test_each_linter_objects_to_a_planted_fault(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], linter: str
) -> None:
    file, text, named = FAULTS[linter]
    root = _planted_tree(tmp_path)
    assert linter not in _linted(tool, root, linter, capsys)
    (path,) = root.rglob(file)
    path.write_text(text, encoding="utf-8")
    assert tool.Checks(root).run() == 1
    said = "".join(capsys.readouterr())
    assert linter in said
    assert named in said


def test_a_script_is_checked(tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = _planted_tree(tmp_path)
    (root / ".ci" / "run").write_text("#!/bin/sh\nrm -r $1\n", encoding="utf-8")
    assert "SC2086" in _linted(tool, root, "shellcheck", capsys)


def test_a_linter_that_is_missing_is_an_objection(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tool, "SCRIPTS", tmp_path)
    assert tool.Checks(_planted_tree(tmp_path / "tree")).run() == 1
    assert "zizmor must be in" in capsys.readouterr().err


def test_one_that_has_no_package_here_is_counted(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tool, "SCRIPTS", tmp_path)
    monkeypatch.setattr(tool, "_is_asked_for", lambda package: False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tool.Checks(_planted_tree(tmp_path / "tree")).run() == 0
    said = capsys.readouterr().out
    assert len(re.findall(r"^SKIPPED ", said, re.MULTILINE)) == 5
    assert "0 objections, 5 linters skipped" in said


def _wrong_commands(text: str) -> Iterator[str]:
    """Yield what a script names and this checkout has not: commands of samebits, their options, make targets, files."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for line in text.replace("\\\n", " ").splitlines():
        if "samebits" in line and (
            found := re.match(r"\s*(?:docker run .*? )?(?:\S*/)?samebits(?:-study)? ([a-z-]+.*)$", line)
        ):
            yield from _wrong_words(shlex.split(re.split(r" [|>]", found[1])[0]))
        if found := re.search(r"(?:^|&& )make ([\w-]+)", line):
            yield from () if found[1] in targets else (f"make {found[1]}",)
        for path in re.findall(r"\b(?:tools|docker)/[\w./-]+", line):
            yield from () if (ROOT / path).exists() else (path,)


def _wrong_words(words: list[str]) -> Iterator[str]:
    context: click.Context | None = None
    command: click.Command | None = group
    while isinstance(command, click.Group):
        context = click.Context(command, parent=context)
        name = words.pop(0) if words else ""
        command = command.get_command(context, name)
        if command is None:
            yield f"samebits {name}"
            return
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}  # type: ignore[union-attr]
    yield from (word for word in words if word.startswith("--") and word.partition("=")[0] not in known)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_the_steps_name_exists(tool: ModuleType, path: Path) -> None:
    texts = [text for _, text in tool.run_steps(yaml.safe_load(path.read_text(encoding="utf-8")))]
    assert texts
    wrong = [word for text in texts for word in _wrong_commands(text)]
    if "image" not in COMMANDS and set(wrong) <= {"samebits image", "docker/Dockerfile"} and wrong:
        pytest.skip(f"{path.name} names what this tree has not: {', '.join(sorted(set(wrong)))}")
    assert wrong == []


def test_a_name_that_does_not_exist_would_be_found() -> None:
    text = (
        ".venv/bin/samebits fly\nsamebits train --out a \\\n  --loosely\nmake haste\npython tools/none.py\n"
        "docker run --rm samebits-study train --quietly\n"
    )
    found = ["samebits fly", "--loosely", "make haste", "tools/none.py", "--quietly"]
    assert list(_wrong_commands(text)) == found


def test_the_matrix_expects_every_cell_that_is_run() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "reproduce.yml").read_text(encoding="utf-8"))["jobs"]
    matrix = jobs["native"]["strategy"]["matrix"]
    ran = {f"cell-{system}-python-{python}" for system in matrix["system"] for python in matrix["python"]}
    (compared,) = (step["run"] for step in jobs["matrix"]["steps"] if "compare_matrix" in step.get("run", ""))
    assert set(shlex.split(compared.partition("--expect")[2].replace("\\\n", " "))) == ran | {"cell-container"}
    assert set(jobs["matrix"]["needs"]) == jobs.keys() - {"matrix"}
    assert {entry["system"] for entry in matrix["include"]} == set(matrix["system"])


def test_the_page_names_every_pinned_action() -> None:
    page = (ROOT / "docs" / "automation.md").read_text(encoding="utf-8")
    told = {
        f"{name}@{commit} # {version}"
        for name, version, commit in re.findall(
            r"^\| `([\w/-]+)` \| (v[\d.]+) \| `([0-9a-f]{40})` \|", page, re.MULTILINE
        )
    }
    used = {match for path in FILES for match in re.findall(r"uses: (.+)", path.read_text(encoding="utf-8"))}
    assert told == used


def _verify_by_action(run: Path, folder: Path, **inputs: str) -> tuple[int, str, str, str]:
    """Run the action's last step as a runner would; return its code, what it printed, its outputs and the summary."""
    step = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["runs"]["steps"][-1]
    program = folder / "samebits" / "bin" / "samebits"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m samebits "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    output, summary = folder / "output", folder / "summary"
    given = {name: inputs.get(name.lower(), "") for name in step["env"]} | {"RUN": str(run)}
    given |= {"RUNNER_TEMP": str(folder), "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    done = subprocess.run(words, env={**os.environ, **given}, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr, output.read_text("utf-8"), summary.read_text("utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("action") / "run"
    subprocess.run([sys.executable, "-m", "samebits", "train", "--out", out], check=True, capture_output=True)
    return out


needs_bash = pytest.mark.skipif(os.name == "nt" or shutil.which("bash") is None, reason="there is no bash")


@needs_bash
def test_the_action_verifies_a_run(run: Path, tmp_path: Path) -> None:
    code, said, output, summary = _verify_by_action(run, tmp_path)
    assert code == 0, said
    assert output == "verdict=same\n"
    assert summary.startswith("## samebits verify: same\n")


@needs_bash
def test_the_action_fails_on_an_edited_run_and_obeys_nothing_that_it_says(run: Path, tmp_path: Path) -> None:
    edited = tmp_path / "run"
    shutil.copytree(run, edited)
    (edited / "golden" / "# same").write_text("::error::`\n", encoding="utf-8")
    (edited / "golden" / "results.json").write_text("{}", encoding="utf-8")
    code, said, output, summary = _verify_by_action(edited, tmp_path / "work")
    assert code in (1, 2)
    assert output == f"verdict={('same', 'different', 'undecided')[code]}\n"
    # Everything below the heading is a block of code.
    assert all(line.startswith("    ") for line in summary.splitlines()[2:])
    token = said.partition("::stop-commands::")[2].split()[0]
    assert re.fullmatch(r"[0-9a-f]{32}", token)
    assert said.rstrip().endswith(f"::{token}::")


@needs_bash
def test_the_action_cannot_tell_without_a_run_and_takes_no_option_for_one(tmp_path: Path) -> None:
    code, said, output, _ = _verify_by_action(Path("--help"), tmp_path)
    assert (code, output) == (2, "verdict=undecided\n"), said


@needs_bash
def test_the_action_hands_its_inputs_on(run: Path, tmp_path: Path) -> None:
    code, said, output, _ = _verify_by_action(run, tmp_path, base=str(tmp_path / "no such base"))
    assert (code, output) == (2, "verdict=undecided\n"), said
    assert "no such base" in said
