"""What tools/compare_matrix.py makes of run folders; the runs are real ones, the faults are planted."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compare_matrix", ROOT / "tools" / "compare_matrix.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["compare_matrix"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    del sys.modules["compare_matrix"]
    return module


def _train(out: Path, *words: str) -> tuple[Path, str]:
    command = [sys.executable, "-m", "samebits", "train", *words, "--out", str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return out, done.stdout.split()[-1]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return _train(tmp_path_factory.mktemp("matrix") / "run")


@pytest.fixture(scope="module")
def other_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return _train(tmp_path_factory.mktemp("matrix") / "other", "--set", "learning_rate=3e-4")


@pytest.fixture
def cells(tmp_path: Path, run: tuple[Path, str]) -> Path:
    """Two cells with the digest: one as an artifact unpacks, one that is the run folder itself."""
    shutil.copytree(run[0], tmp_path / "cells" / "linux" / "run")
    shutil.copytree(run[0], tmp_path / "cells" / "windows")
    return tmp_path / "cells"


def _told(folder: Path, **words: str) -> None:
    folder.mkdir()
    (folder / "cell.json").write_text(json.dumps(words), encoding="utf-8")


def _results(text: str) -> dict[str, str]:
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: row[-1] for row in rows[2:]}


def test_the_readmes_digest_in_every_cell_is_the_same(
    tool: ModuleType, cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary, markdown = tmp_path / "summary.md", tmp_path / "matrix.md"
    summary.write_text("before\n", encoding="utf-8")
    code = tool.main(
        [str(cells), "--expect", "linux", "windows", "--summary", str(summary), "--markdown", str(markdown)]
    )
    printed = capsys.readouterr().out
    assert code == 0
    assert printed.startswith("**Same**: 2 of 2 cells ran, 2 of them")
    assert _results(printed) == {"linux": "same", "windows": "same"}
    assert markdown.read_text("utf-8") == printed
    assert summary.read_text("utf-8") == f"before\n## Golden digests\n\n{printed}"


def test_the_columns_are_what_the_run_recorded(tool: ModuleType, cells: Path, run: tuple[Path, str]) -> None:
    environment = json.loads((run[0] / "observed" / "env.json").read_text("utf-8"))
    execution = json.loads((run[0] / "observed" / "execution.json").read_text("utf-8"))
    (cell, _) = tool.read_cells(cells)
    assert cell.facts[2:] == (environment["python"]["version"], execution["libraries"]["numpy"], execution["isa"])


def test_a_run_of_another_recipe_is_different_and_its_files_are_named(
    tool: ModuleType, cells: Path, run: tuple[Path, str], other_run: tuple[Path, str]
) -> None:
    shutil.copytree(other_run[0], cells / "macos")
    text, code = tool.report(cells, run[1])
    assert code == 1
    result = _results(text)["macos"].replace("\\", "")
    assert result.startswith("different: other bytes in golden/adapter_model.safetensors, ")
    assert "adapter_config" not in result
    assert f"- `{run[1]}`: 2 cells\n- `{other_run[1]}`: 1 cells\n" in text


def test_all_cells_may_agree_and_be_different(tool: ModuleType, cells: Path, other_run: tuple[Path, str]) -> None:
    text, code = tool.report(cells, other_run[1])
    assert code == 1
    assert set(_results(text).values()) == {"different"}


def test_one_bit_is_found(tool: ModuleType, cells: Path, run: tuple[Path, str]) -> None:
    path = cells / "windows" / "golden" / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    text, code = tool.report(cells, run[1])
    assert code == 1
    assert "changed after recording" in _results(text)["windows"]


def test_a_digest_that_is_only_stated_does_not_count(
    tool: ModuleType, cells: Path, run: tuple[Path, str], other_run: tuple[Path, str]
) -> None:
    shutil.copytree(other_run[0], cells / "liar")
    shutil.copy(run[0] / "artifact_summary.json", cells / "liar" / "artifact_summary.json")
    text, code = tool.report(cells, run[1])
    assert code == 1
    assert _results(text)["liar"].startswith("different")


@pytest.mark.parametrize("damage", ["no summary", "no run", "no JSON"])
def test_a_cell_that_cannot_be_read_is_undecided(
    tool: ModuleType, cells: Path, run: tuple[Path, str], damage: str
) -> None:
    summary = cells / "linux" / "run" / "artifact_summary.json"
    if damage == "no run":
        shutil.rmtree(cells / "linux" / "run")
    elif damage == "no JSON":
        summary.write_text("{", encoding="utf-8")
    else:
        summary.unlink()
    text, code = tool.report(cells, run[1])
    assert code == 2
    assert _results(text)["linux"].startswith("failed: ")


def test_a_cell_that_did_not_come_is_undecided(tool: ModuleType, cells: Path, run: tuple[Path, str]) -> None:
    text, code = tool.report(cells, run[1], ["linux", "macos"])
    assert code == 2
    assert _results(text)["macos"] == "failed: no run folder came"


def test_a_difference_outweighs_a_cell_that_did_not_come(
    tool: ModuleType, cells: Path, run: tuple[Path, str], other_run: tuple[Path, str]
) -> None:
    shutil.copytree(other_run[0], cells / "another")
    assert tool.report(cells, run[1], ["macos"])[1] == 1


def test_cells_that_cannot_run_here_are_told_and_do_not_decide(
    tool: ModuleType, cells: Path, run: tuple[Path, str]
) -> None:
    _told(cells / "s390x", name="emulated s390x", not_tested="there is no emulator")
    text, code = tool.report(cells, run[1])
    assert code == 0
    assert _results(text)["emulated s390x"] == "not tested: there is no emulator"
    _told(cells / "user", name="another user", failed="exit code 1")
    assert tool.report(cells, run[1])[1] == 2


def test_nothing_that_ran_is_undecided(tool: ModuleType, tmp_path: Path) -> None:
    assert tool.report(tmp_path / "nowhere", "a" * 64)[1] == 2
    _told(tmp_path / "one", not_tested="there is no podman")
    assert tool.report(tmp_path, "a" * 64)[1] == 2


def test_what_a_run_says_of_itself_is_only_text(tool: ModuleType, cells: Path, run: tuple[Path, str]) -> None:
    path = cells / "windows" / "observed" / "env.json"
    system = "| same |\n# <b>Same</b> [x](y) " + "z" * 100
    path.write_text(json.dumps({"system": {"distribution": system}, "cpu": [1]}), encoding="utf-8")
    text, code = tool.report(cells, run[1])
    assert code == 0
    (row,) = (line for line in text.splitlines() if line.startswith("| windows"))
    assert r"\| same \| # &lt;b&gt;Same&lt;/b&gt; \[x\](y) z" in row
    assert "z" * 60 not in row


def test_a_digest_must_be_one(tool: ModuleType, cells: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main([str(cells), "--golden", "a67a"]) == 2
    assert "64 hex digits" in capsys.readouterr().err
