"""What follows from a study's rows, and reading what a study wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from samebits.errors import RecordError
from samebits.study.rows import Experiment, Row, read_experiment


def row(profile: str, run: str, digest: str | None, verdict: str = "same", **fields: Any) -> Row:
    expectation = fields.pop("expectation", "same")
    return Row(profile, run, "threads", "", expectation, "golden", verdict, golden_digest=digest, **fields)


def test_the_sentence_counts_digests_and_runs_by_profile() -> None:
    rows = [
        row("portable-f32", "golden", "a", "golden"),
        row("portable-f32", "repeat-1", "a"),
        row("portable-f32", "locale", None, "undecided"),
        row("stock", "stock", "b", "golden"),
        row("stock", "stock-threads-1", "c", "different", expectation="may differ"),
        row("stock", "stock-aten-default", None, "not tested", expectation="may differ"),
    ]
    experiment = Experiment("x", is_complete=True, rows=rows)
    told = "portable-f32: 1 golden digest in 2 runs; stock: 2 in 2; 1 not tested, 1 undecided."
    assert experiment.sentence == told
    assert Experiment("x", rows=rows[:1]).sentence == "portable-f32: 1 golden digest in 1 run."


def test_a_damaged_golden_run_gives_no_golden_digest() -> None:
    assert Experiment("x", rows=[row("portable-f32", "golden", "a", "undecided")]).golden_digest is None
    both = [row("portable-f32", "golden", "a", "undecided"), row("stock", "stock", "b", "golden")]
    assert Experiment("x", rows=both).golden_digest is None


def test_a_recipe_of_stock_kernels_has_its_own_golden_digest() -> None:
    assert Experiment("x", rows=[row("stock", "stock", "a", "golden")]).golden_digest == "a"


def test_no_study_is_none(tmp_path: Path) -> None:
    assert read_experiment(tmp_path) is None


def study_file(folder: Path, **changes: Any) -> None:
    row = Row("portable-f32", "golden", "repeat", "nothing", "same", "golden", "golden", None, "", "0" * 64)
    document = {**Experiment("samebits study", rows=[row]).document(), **changes}
    kept = {key: value for key, value in document.items() if value is not None or key not in changes}
    (folder / "study.json").write_text(json.dumps(kept))


def test_a_sound_study_file_is_read(tmp_path: Path) -> None:
    study_file(tmp_path)
    document = read_experiment(tmp_path)
    assert document is not None
    assert document["rows"][0]["run"] == "golden"


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": None},
        {"sentence": None},
        {"culprits": "nobody"},
        {"verdict": "splendid"},
        {"rows": 7},
        {"rows": [7]},
        {"rows": [{"run": "a"}]},
        {"sentence": ["<b>"]},
    ],
)
def test_a_damaged_study_file_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    study_file(tmp_path, **changes)
    with pytest.raises(RecordError):
        read_experiment(tmp_path)


def test_a_strange_verdict_in_a_row_is_refused(tmp_path: Path) -> None:
    row = Row("portable-f32", "golden", "repeat", "nothing", "same", "golden", "excellent")
    (tmp_path / "study.json").write_text(json.dumps(Experiment("x", rows=[row]).document()))
    with pytest.raises(RecordError, match="verdict must be one of"):
        read_experiment(tmp_path)


def test_a_row_of_an_unknown_profile_is_refused(tmp_path: Path) -> None:
    study_file(tmp_path, rows=[{**vars(row("portable-f32", "golden", None)), "profile": "portable-f8"}])
    with pytest.raises(RecordError, match="profile must be"):
        read_experiment(tmp_path)
