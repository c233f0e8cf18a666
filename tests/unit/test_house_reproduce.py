"""What tools/reproduce_golden.py makes of the digests that it sees."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
GOLDEN, OTHER = "a" * 64, "a" * 63 + "b"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec = importlib.util.spec_from_file_location("reproduce_golden", ROOT / "tools" / "reproduce_golden.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "reproduce_golden", module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def planted(tool: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The tool with a README of its own, and with no cells but those that a test plants."""
    (tmp_path / "README.md").write_text(f"It must be:\n\n    {GOLDEN}\n", encoding="utf-8")
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    return tool


def _run(tool: ModuleType, monkeypatch: pytest.MonkeyPatch, *programs: str, absent: bool = False) -> int:
    """Run main with one cell for each Python program in place of the trainings."""

    def run_cells(machine: object) -> None:
        for number, program in enumerate(programs):
            words = [sys.executable, "-c", program]
            machine.cell(f"cell {number}", "command", lambda words=words: (*tool.train(words), ""))  # type: ignore[attr-defined]
        if absent:
            machine.cell("elsewhere", "command", lambda: _absent(tool))  # type: ignore[attr-defined]

    monkeypatch.setattr(tool, "run_cells", run_cells)
    code: int = tool.main([])
    return code


def _absent(tool: ModuleType) -> None:
    raise tool.NotHereError("there is no emulator")


PRINTS_GOLDEN = f"print('loss 1.0'); print('{GOLDEN}')"
PRINTS_OTHER = f"print('{GOLDEN}'); print('{OTHER}')"


@pytest.mark.parametrize(
    ("programs", "absent", "code"),
    [
        ([PRINTS_GOLDEN, PRINTS_GOLDEN], False, 0),
        ([PRINTS_GOLDEN], True, 0),
        ([PRINTS_GOLDEN, PRINTS_OTHER], False, 1),
        ([PRINTS_OTHER, "raise SystemExit('no model')"], True, 1),
        ([PRINTS_GOLDEN, "raise SystemExit('no model')"], False, 2),
        ([PRINTS_GOLDEN, "print('no digest')"], False, 2),
        ([], True, 2),
        ([], False, 2),
    ],
    ids=[
        "all same",
        "one absent",
        "one differs",
        "differing outweighs failing",
        "one fails",
        "no digest",
        "none ran",
        "none",
    ],
)
def test_exit_code_says_what_the_cells_gave(
    planted: ModuleType, monkeypatch: pytest.MonkeyPatch, programs: list[str], absent: bool, code: int
) -> None:
    assert _run(planted, monkeypatch, *programs, absent=absent) == code


def test_a_planted_digest_is_named_where_it_was_seen(
    planted: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(planted, monkeypatch, PRINTS_GOLDEN, PRINTS_OTHER, "raise SystemExit('no model')", absent=True)
    verdicts = re.findall(
        r"^(?:cell \d|elsewhere) +(same|different|failed|not tested) ", capsys.readouterr().out, re.MULTILINE
    )
    assert verdicts == ["same", "different", "failed", "not tested"]


def test_the_table_claims_no_command_that_was_not_run(tool: ModuleType) -> None:
    cells = [tool.Cell("here", "train", GOLDEN, 1.25), tool.Cell("there", "emulate", not_tested="there is no emulator")]
    assert tool.markdown(cells, GOLDEN, "2026-01-02").splitlines()[2:] == [
        "| here | `train` | 2026-01-02 | 1.2 | aaaaaaaaaaaa | same |",
        "| there | - | 2026-01-02 | - | - | not tested: there is no emulator |",
    ]


def test_readme_holds_one_golden_digest(tool: ModuleType) -> None:
    assert len(tool.golden_digest((ROOT / "README.md").read_text(encoding="utf-8"))) == 64
    with pytest.raises(SystemExit, match="got 2"):
        tool.golden_digest(f"    {GOLDEN}\n    {OTHER}\n")


def test_this_python_is_among_those_found(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.base_prefix) / "bin"))
    version = ".".join(map(str, sys.version_info[:3]))
    if not (Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info[1]}").exists():
        pytest.skip("this Python's installation has no python3.N")
    assert version in tool.find_pythons()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reproduce") / "run"
    subprocess.run([sys.executable, "-m", "samebits", "train", "--out", out], check=True, capture_output=True)
    return out


@pytest.mark.parametrize(("fault", "code"), [("", 0), ("edited", 1), ("lost", 2)])
def test_kept_runs_are_judged_by_their_files_not_by_what_was_printed(
    tool: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    run: Path,
    fault: str,
    code: int,
) -> None:
    golden = tool.golden_digest((ROOT / "README.md").read_text(encoding="utf-8"))

    def run_cells(machine: object) -> None:
        def work() -> tuple[str, float, str]:
            out = machine.out()  # type: ignore[attr-defined]
            if fault != "lost":
                shutil.copytree(run, out)
            else:
                out.mkdir()
            if fault == "edited":
                (out / "golden" / "results.json").write_text("{}", encoding="utf-8")
            return golden, 1.0, ""

        machine.cell("this Python", "train", work)  # type: ignore[attr-defined]
        machine.cell("Elsewhere 1.0", "emulate", lambda: _absent(tool))  # type: ignore[attr-defined]

    monkeypatch.setattr(tool, "run_cells", run_cells)
    assert tool.main(["--keep", str(tmp_path / "kept")]) == code
    printed = capsys.readouterr().out
    assert f"| {('same', 'different', 'failed')[code]}" in printed
    assert "| not tested: there is no emulator |" in printed
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["01-this-python", "02-elsewhere-1.0"]


def test_a_run_inside_another_root_is_kept_too(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Path
) -> None:
    golden = tool.golden_digest((ROOT / "README.md").read_text(encoding="utf-8"))

    def run_cells(machine: object) -> None:
        def work() -> tuple[str, float, str]:
            shutil.copytree(run, machine.folder / "root-aarch64" / "run-1")  # type: ignore[attr-defined]
            return golden, 1.0, ""

        machine.cell("emulated aarch64", "emulate", work, root="root-aarch64")  # type: ignore[attr-defined]

    monkeypatch.setattr(tool, "run_cells", run_cells)
    assert tool.main(["--keep", str(tmp_path / "kept")]) == 0
    kept = tmp_path / "kept" / "01-emulated-aarch64" / "run"
    assert (kept / "artifact_summary.json").read_bytes() == (run / "artifact_summary.json").read_bytes()


def test_kept_runs_need_a_new_folder(tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        tool.main(["--keep", str(tmp_path)])
    assert stopped.value.code == 2
    assert "must name a new folder" in capsys.readouterr().err
