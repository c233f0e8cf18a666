"""`samebits vary`: what it asks for, what it prints, its exit codes; its children stand in for trainings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from samebits.cli import vary
from samebits.cli.main import run
from samebits.errors import MissingExtraError
from samebits.study.factors import NAMES
from samebits.study.rows import Culprit, Experiment, Row
from samebits.study.vary import Choice

DIGEST = "d" * 64
ROWS = [
    Row("portable-f32", "golden", "repeat", "nothing", "same", "golden", "golden", None, "", DIGEST),
    Row("portable-f32", "threads-1", "threads", "1 thread", "same", "golden", "same", True, "", DIGEST),
    Row("portable-f32", "clock", "clock", "ten years", "same", "golden", "not tested", None, "no libfaketime here"),
]
DIFFERENT = Row(
    "portable-f32", "umask-077", "umask", "umask 077", "same", "golden", "different", False, "other bits", "e" * 64
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Answer in the place of real runs, and remember what was asked."""
    kept: dict[str, Any] = {"experiment": Experiment("samebits vary", is_complete=True, rows=list(ROWS))}

    def answer(out: Path, settings: Any, **more: Any) -> Experiment:
        kept.update(more, settings=settings, out=out)
        out.mkdir(parents=True)
        found: Experiment = kept["experiment"]
        return found

    monkeypatch.setattr(vary, "run_vary", answer)
    return kept


@pytest.mark.parametrize(
    ("arguments", "expected", "told"),
    [
        ([], Choice(), "samebits vary"),
        (["--only", "threads", "--only", "clock"], Choice("once", ("threads", "clock")),
         "samebits vary --only threads --only clock"),
        (["--pairwise", "--no-stock"], Choice("pairwise", (), False), "samebits vary --pairwise --no-stock"),
        (["--all", "--set", "seed=7", "--max-steps", "3", "--require-all"], Choice("all"),
         "samebits vary --set seed=7 --max-steps 3 --all --require-all"),
    ],
)  # fmt: skip
def test_what_is_asked_for_is_run_and_told(
    asked: dict[str, Any], tmp_path: Path, arguments: list[str], expected: Choice, told: str
) -> None:
    assert run(["vary", "--out", str(tmp_path / "out"), *arguments]) == 0
    assert (asked["choice"], asked["command"], asked["out"]) == (expected, told, tmp_path / "out")
    assert asked["settings"].max_steps == (3 if "--max-steps" in arguments else None)


def test_the_last_line_is_the_golden_digest_and_what_was_skipped_is_told(
    asked: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["vary", "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == DIGEST
    assert "not tested: clock: no libfaketime here" in lines
    assert any(line.startswith("portable-f32") and line.endswith("✓ 1") for line in lines)


def test_a_difference_exits_1_and_leads_on(
    asked: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked["experiment"].rows.append(DIFFERENT)
    asked["experiment"].culprits.append(Culprit("umask-077", ("umask-077",), "umask-077", "golden"))
    assert run(["vary", "--out", str(tmp_path / "out")]) == 1
    out = capsys.readouterr().out
    assert "- umask-077 alone changes the bits\n" in out
    runs = tmp_path / "out" / "runs"
    assert f"next: samebits bisect {runs / 'golden'} {runs / 'umask-077'}\n" in out
    assert "≠ 077" in out


def test_undecided_exits_2(asked: dict[str, Any], tmp_path: Path) -> None:
    asked["experiment"].is_complete = False
    assert run(["vary", "--out", str(tmp_path / "out")]) == 2


def test_json_is_the_whole_outcome(asked: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["vary", "--json", "--out", str(tmp_path / "out")]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(asked["experiment"].document()))


def test_without_the_libraries_of_a_page_the_answer_stands(
    asked: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise MissingExtraError("the report needs matplotlib", got="no module")

    monkeypatch.setattr(vary, "write_report", refuse)
    assert run(["vary", "--out", str(tmp_path / "out")]) == 0
    assert "report: none: the report needs matplotlib" in capsys.readouterr().out


def test_the_list_names_every_factor_and_trains_nothing(
    asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["vary", "--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["factors"]
    assert [factor["name"] for factor in listed] == list(NAMES)
    assert all(factor["values"] for factor in listed)
    assert run(["vary", "--list"]) == 0
    assert capsys.readouterr().out.startswith("factor")
    assert "settings" not in asked


@pytest.mark.parametrize(
    "arguments", [["--only", "moon"], ["--max-steps", "0"], ["--set", "seed=no"], ["there-is-none.yaml"]]
)
def test_bad_input_exits_2(asked: dict[str, Any], arguments: list[str]) -> None:
    assert run(["vary", *arguments]) == 2
    assert "settings" not in asked
