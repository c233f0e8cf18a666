"""What tools/check_invariance.py concludes from its runs, and that its runs show what they claim to vary."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("check_invariance")


@pytest.mark.parametrize(
    ("digests", "control", "problems", "expected"),
    [
        (["a", "a"], "b", [], 0),
        (["a", "c"], "b", [], 1),
        (["a", "c"], "b", ["it did not end"], 1),
        (["a", "a"], "b", ["it did not end"], 2),
        (["a", "a"], "a", [], 2),
        (["a", "a"], None, [], 2),
    ],
)
def test_exit_code_is_what_was_seen(
    tool: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    digests: list[str], control: str | None, problems: list[str], expected: int,
) -> None:  # fmt: skip
    recipe = tool.MadeRecipe("a recipe", 28, 6)

    def check(*arguments: Any) -> Any:
        return tool.Seen(recipe, digests, 0, tool.cover(tool.FACTORS), problems, control)

    monkeypatch.setattr(tool, "_check_recipe", check)
    code, table = tool._check_cover([recipe], tmp_path)
    assert code == expected
    assert f"| a recipe | 28 | 6 | 2 | 0 | 0 | {len(set(digests))} |" in table


def _write_record(run: Path, row: dict[str, str], **other: Any) -> None:
    n_samples, n_passes = row["batch split"].split("x")
    execution = {
        "n_threads": int(row["threads"]),
        "isa": row["isa"],
        "memory_budget_mib": 2048,
        "per_device_train_batch_size": int(n_samples),
        "gradient_accumulation_steps": int(n_passes),
    }
    variables = {"SAMEBITS_ISA": row["isa"], "PYTHONHASHSEED": "0", "LC_ALL": "C", "MKL_CBWR": "COMPATIBLE"}
    documents = {
        "execution": execution | other,
        "env": {"variables": variables},
        "training_metadata": {"resumed_from": other.get("resumed_from", [3])},
    }
    (run / "observed").mkdir()
    for name, document in documents.items():
        (run / "observed" / f"{name}.json").write_text(json.dumps(document))


ROW = {"threads": "3", "isa": "avx2", "library knob": "MKL_CBWR=COMPATIBLE", "batch split": "2x2",
       "killed after step": "half", "memory_budget_mib": "2048", "hash seed": "0", "locale": "C"}  # fmt: skip


def test_a_change_that_reached_the_run_is_seen(tool: Any, tmp_path: Path) -> None:
    _write_record(tmp_path, ROW)
    assert tool._unseen(tmp_path, ROW, 3) == []


@pytest.mark.parametrize(
    ("changed", "factor"),
    [
        ({"n_threads": 2}, "threads"),
        ({"isa": "baseline"}, "isa"),
        ({"memory_budget_mib": 1}, "memory_budget_mib"),
        ({"gradient_accumulation_steps": 1}, "batch split"),
        ({"resumed_from": []}, "killed after step"),
    ],
)
def test_a_change_that_did_not_reach_the_run_is_found(
    tool: Any, tmp_path: Path, changed: dict[str, Any], factor: str
) -> None:
    _write_record(tmp_path, ROW, **changed)
    assert tool._unseen(tmp_path, ROW, 3) == [factor]


def test_a_switch_that_is_not_in_the_environment_is_found(tool: Any, tmp_path: Path) -> None:
    _write_record(tmp_path, ROW)
    assert tool._unseen(tmp_path, {**ROW, "library knob": "OMP_NUM_THREADS=1"}, 3) == ["environment"]


def test_made_texts_are_200_of_many_lengths(tool: Any, tmp_path: Path) -> None:
    made = importlib.import_module("made_recipes")
    lines = made.write_texts(tmp_path / "texts.jsonl").read_text(encoding="utf-8").splitlines()
    lengths = {json.loads(line)["output"].count(".") for line in lines}
    assert len(lines) == len(set(lines)) == 200
    assert lengths == set(range(1, 13))
