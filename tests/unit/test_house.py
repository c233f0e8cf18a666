"""The shape of the house: tests mirror src, imports go downward, no machine's name stands in a file."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "samebits"
SCRIPTS = Path(sys.executable).parent

WITHOUT_OWN_TEST = {
    "api.py": "tests/end_to_end/test_entry_points.py runs every public name",
    "cli/study.py": "tests/end_to_end runs the whole command",
    "cli/train.py": "tests/end_to_end runs the whole command",
}
"""Modules that no test_<module>.py of tests/unit mirrors, each with the reason."""


def _tracked_files() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def _modules() -> list[str]:
    paths = (path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
    return sorted(path.as_posix() for path in paths if path.name not in ("__init__.py", "__main__.py"))


def _test_of(module: str) -> str:
    folder, _, name = module.rpartition("/")
    return f"{folder}/test_{name}".lstrip("/")


def test_every_module_has_a_test_file() -> None:
    tests = ROOT / "tests" / "unit"
    missing = {module for module in _modules() if not (tests / _test_of(module)).exists()}
    assert missing == set(WITHOUT_OWN_TEST)


def test_every_unit_test_file_has_its_module() -> None:
    tests = ROOT / "tests" / "unit"
    mirrored = {_test_of(module) for module in _modules()}
    found = {path.relative_to(tests).as_posix() for path in tests.rglob("test_*.py")}
    stray = {name for name in found - mirrored if not name.startswith("test_house")}
    assert not stray


@pytest.fixture(scope="module")
def contract() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    return table


def _lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    # import-linter puts the current folder first in the path, so that the tree under test is the one that is read.
    return subprocess.run(
        [SCRIPTS / "lint-imports", "--no-cache", "--no-logo", "--config", str(root / "pyproject.toml")],
        cwd=root / "src",
        env={**os.environ, "PYTHONPATH": str(root / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copied_tree(tmp_path: Path) -> Path:
    sources = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(PACKAGE, tmp_path / "src" / "samebits", ignore=sources)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_import_contract_holds() -> None:
    done = _lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("canonical/digests.py", "import samebits.record.layout", "Layers, top to bottom"),
        ("record/layout.py", "import samebits.recipe.settings", "Layers, top to bottom"),
        ("verify/compare.py", "import samebits.models.base", "Layers, top to bottom"),
        ("a_new_part.py", "", "Layers, top to bottom"),
        ("verify/compare.py", "import torch", "Only the PyTorch door imports torch"),
        ("data/reader.py", "from transformers import AutoTokenizer", "Only the PyTorch door imports torch"),
        ("cli/compare.py", "def late() -> None:\n    import peft", "The rooms above reach torch only"),
    ],
)
def test_import_contract_catches(copied_tree: Path, module: str, line: str, broken: str) -> None:
    with (copied_tree / "src" / "samebits" / module).open("a", encoding="utf-8") as stream:
        stream.write(f"\n{line}\n")
    done = _lint_imports(copied_tree)
    assert done.returncode == 1
    assert re.search(rf"{re.escape(broken)}.* BROKEN|No layer.*a_new_part|a_new_part", done.stdout + done.stderr)


def test_every_part_is_held_by_a_torch_contract(contract: dict[str, Any]) -> None:
    held = {name for item in contract["contracts"] if item["type"] == "forbidden" for name in item["source_modules"]}
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert held == {f"samebits.{part}" for part in parts - {"__init__", "__main__", "pytorch"}}


def test_modules_stay_short() -> None:
    longest = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {path.name: lines for path, lines in longest.items() if lines > 400} == {}


def _function_lines(text: str) -> dict[str, int]:
    """Return how many lines each function has without its docstring."""
    lines = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            n_told = len(node.body[0].value.value.splitlines()) if ast.get_docstring(node) else 0  # type: ignore[attr-defined]
            lines[node.name] = node.end_lineno - node.lineno + 1 - n_told  # type: ignore[operator]
    return lines


def test_functions_stay_short() -> None:
    # About 40; what is past 60 is two functions.
    found = {path.name: _function_lines(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}
    assert {(file, name) for file, lines in found.items() for name in lines if lines[name] > 60} == set()


def test_a_function_is_measured_without_its_docstring() -> None:
    assert _function_lines('def f():\n    """A\n    B."""\n    a = 1\n    return a\n') == {"f": 3}


PRIVATE = re.compile(
    # Written in pieces, so that this file does not contain what it looks for.
    "|".join(
        ["/" + r"work/(?:main|shared)", "/" + r"opt/(?:wheels|pypi)", "/" + r"home/[a-z]", "/" + r"Users/[A-Za-z]"]
    )
    + "|/"
    + r"root/|\b(?:10|192\.168|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2,3}\b(?=[:/])"
)
PUBLIC_HOSTS = {
    "arxiv.org",
    "docs.python.org",
    "download.pytorch.org",
    "example.com",
    "github.com",
    "huggingface.co",
    "json-schema.org",
    "keepachangelog.com",
    "localhost",
    "semver.org",
    "www.apache.org",
    "www.rfc-editor.org",
    "www.w3.org",
    "127.0.0.1",
}


def _machine_names(text: str) -> set[str]:
    hosts = set(re.findall(r"\bhttps?://([A-Za-z0-9.-]+)", text))
    return {match.group() for match in PRIVATE.finditer(text)} | (hosts - PUBLIC_HOSTS)


def test_no_machine_is_named() -> None:
    found = {}
    for path in _tracked_files():
        try:
            names = _machine_names(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            continue
        if names:
            found[path.relative_to(ROOT).as_posix()] = names
    assert found == {}


@pytest.mark.parametrize("text", ["see /" + "home/ann/x", "http" + "://mirror.corp/simple", "10.1." + "2.3:8080"])
def test_a_named_machine_would_be_found(text: str) -> None:
    assert _machine_names(text)


def test_wheel_holds_every_data_file(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [path for path in _tracked_files() if path.is_relative_to(PACKAGE)]
    assert {path.relative_to(ROOT / "src").as_posix() for path in files} <= names
    assert not {name for name in names if not name.startswith(("samebits/", "samebits-"))}


def test_lock_pins_every_requirement_and_names_no_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = (ROOT / "requirements" / "lock.txt").read_text(encoding="utf-8")
    lines = [line for line in lock.splitlines() if not line.startswith("#")]
    assert not [line for line in lines if "/" in line or line.startswith("-")]
    pinned = {line.partition("==")[0] for line in lines if not line.startswith(" ")}
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    names = {re.split(r"[\[<>=;]", name)[0].lower().replace("_", "-") for name in wanted} - {"samebits"}
    assert names <= pinned
    assert all(block.count("--hash=sha256:") for block in re.split(r"\n(?=[a-z])", "\n".join(lines)) if block.strip())
