"""One recipe under variations: same, different with the factor named, or undecided for stated reasons."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from samebits.errors import UsageError
from samebits.recipe.reader import read_settings
from samebits.report.analysis import analyze_folder
from samebits.report.html import render_page
from samebits.study import vary
from samebits.study.judge import NO_EFFECT
from samebits.study.process import UNNAMED_USER
from samebits.study.rows import EXIT_CODES, Experiment, Row, read_experiment
from samebits.study.runner import ChildRunner, refusal
from samebits.study.variation import Variation
from samebits.study.vary import Choice, chosen, covered, recipe_of, run_vary

Vary = Callable[..., Experiment]
QUICK = ("umask", "allocator", "packing")


@pytest.fixture
def run(tmp_path: Path, ear: Any, stand_in_runner: ChildRunner) -> Vary:
    """Return a function that varies the embedded recipe with children that stand in for trainings."""

    def start(
        mode: Any = "once", only: Any = QUICK, *, stock: bool = False, numerics: str = "portable-f32", **more: Any
    ) -> Experiment:
        settings = read_settings(None, (f"numerics={numerics}",))
        choice = Choice(mode, only, stock)
        return run_vary(tmp_path / "out", settings, runner=stand_in_runner, listener=ear, choice=choice, **more)

    return start


def verdicts(experiment: Experiment) -> dict[str, str]:
    return {row.run: row.verdict for row in experiment.rows}


def row_of(experiment: Experiment, name: str) -> Row:
    return next(row for row in experiment.rows if row.run == name)


def test_every_value_of_a_named_factor_is_run_and_stock_until_it_breaks(run: Vary, tmp_path: Path) -> None:
    experiment = run(stock=True)
    found = verdicts(experiment)
    preloaded = found.pop("allocator-preloaded")
    assert preloaded in ("same", "not tested")
    assert found == {
        "golden": "golden", "repeat-1": "same", "umask-077": "same", "umask-000": "same", "allocator-malloc": "same",
        "allocator-filled": "same", "packing": "same",
        "stock": "golden", "stock-repeat-1": "same", "stock-threads-1": "different",
    }  # fmt: skip
    assert experiment.verdict == "held"
    assert (experiment.findings, experiment.culprits) == ([], [])
    assert experiment.golden_digest == experiment.rows[0].golden_digest
    assert not (tmp_path / "out" / ".work").exists()


def test_a_change_of_bits_is_caught_and_its_cause_named(
    run: Vary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STAND_IN_TRIGGER", "umask=0077")
    experiment = run()
    assert EXIT_CODES[experiment.verdict] == 1
    assert [row.run for row in experiment.rows if row.held is False] == ["umask-077"]
    [culprit] = experiment.culprits
    runs = tmp_path / "out" / "runs"
    assert culprit.changes == ("umask-077",)
    assert culprit.next_step(runs) == f"samebits bisect {runs / 'golden'} {runs / 'umask-077'}"
    assert "umask-077 alone changes the bits" in experiment.findings


def test_a_difference_in_the_cover_is_minimised_to_the_one_factor(run: Vary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_TRIGGER", "umask=0077")
    experiment = run("pairwise")
    assert experiment.verdict == "broken"
    assert [culprit.changes for culprit in experiment.culprits] == [("umask-077",)]
    assert experiment.culprits[0].shown_by == "umask-077"
    together = [row for row in experiment.rows if row.parts]
    assert sum(row.verdict == "different" for row in together) > 1, "the others are explained by the one that was found"
    for row in together:
        assert (row.verdict == "different") == (("umask", "umask-077") in row.parts)


def test_two_that_differ_only_together_are_named_together(run: Vary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_TRIGGER", "umask=0000,python_allocator=malloc")
    experiment = run("all")
    assert all(row.verdict != "different" for row in experiment.rows if not row.parts)
    assert [culprit.changes for culprit in experiment.culprits] == [("umask-000", "allocator-malloc")]
    assert "umask-000 and allocator-malloc change, only together, the bits" in experiment.findings


def test_a_difference_that_does_not_come_again_is_chance(run: Vary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "pairs-01:bit")
    experiment = run("pairwise")
    [culprit] = experiment.culprits
    assert (culprit.shown_by, culprit.next_step(Path())) == (None, None)
    assert EXIT_CODES[experiment.verdict] == 1
    assert any("by chance" in finding for finding in experiment.findings)


def test_a_recipe_that_differs_with_nothing_changed_has_no_factor(run: Vary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "golden:bit")
    experiment = run(only=("umask",))
    assert verdicts(experiment)["umask-077"] == "different"
    assert [culprit.changes for culprit in experiment.culprits] == [()]
    assert "repeat-1 differs with nothing changed: no factor is needed" in experiment.findings


def test_a_knob_without_a_trace_is_not_the_same(run: Vary) -> None:
    # The stand-in does not run what is to be run inside the child: nothing is listed backwards.
    experiment = run(only=("file-order",))
    assert (row_of(experiment, "file-order").verdict, row_of(experiment, "file-order").reason) == (
        "not tested",
        NO_EFFECT,
    )
    assert experiment.verdict == "held"


def test_what_was_not_tested_counts_where_it_is_to(run: Vary) -> None:
    assert run(only=("file-order",), require_all=True).verdict == "undecided"


def test_a_pair_of_which_one_left_no_trace_is_not_covered(run: Vary) -> None:
    experiment = run("pairwise", ("umask", "file-order"))
    # file-order's two values, one of them without a trace, by umask's three.
    assert experiment.pairs == (3, 6)
    assert "3 of 6 pairs of values stood together in a run that shows both." in experiment.findings
    assert {row.verdict for row in experiment.rows if len(row.parts) == 2} == {"same"}
    assert all("no trace of file-order" in row.reason for row in experiment.rows if len(row.parts) == 2)
    assert {row.verdict for row in experiment.rows if [*row.parts] == [("file-order", "file-order")]} <= {"not tested"}


def test_all_pairs_are_covered_where_each_is_seen(run: Vary) -> None:
    experiment = run("pairwise")
    assert experiment.pairs is not None
    assert experiment.pairs[0] == experiment.pairs[1] > 0


def test_stock_that_cannot_be_broken_leaves_it_undecided(run: Vary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_BLIND", "1")
    experiment = run(only=("packing",), stock=True)
    assert EXIT_CODES[experiment.verdict] == 2
    assert any("the variations did not vary anything" in finding for finding in experiment.findings)


@pytest.mark.parametrize(("require_all", "expected"), [(False, 0), (True, 2)])
def test_without_torch_stock_is_not_tested_aloud(
    run: Vary, monkeypatch: pytest.MonkeyPatch, require_all: bool, expected: int
) -> None:
    monkeypatch.setattr(vary, "missing_baseline", lambda: "no torch here")
    experiment = run(only=("packing",), stock=True, require_all=require_all)
    assert EXIT_CODES[experiment.verdict] == expected
    assert "stock, the baseline that must break, was not tested: no torch here." in experiment.findings


def test_stock_left_out_is_told(run: Vary) -> None:
    experiment = run(only=("packing",))
    assert f"stock, the baseline that must break, was not tested: {vary.LEFT_OUT}." in experiment.findings


@pytest.mark.parametrize(("fault", "expected"), [("umask-077:exit", "exit code 1"), ("golden:exit", "exit code 1")])
def test_a_run_that_failed_leaves_it_undecided(
    run: Vary, monkeypatch: pytest.MonkeyPatch, fault: str, expected: str
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    experiment = run(only=("umask",))
    assert EXIT_CODES[experiment.verdict] == 2
    assert expected in row_of(experiment, fault.partition(":")[0]).reason


def test_a_stock_recipe_is_its_own_falsifier(run: Vary) -> None:
    experiment = run(only=("threads", "umask"), numerics="stock")
    found = verdicts(experiment)
    assert found["stock-umask-077"] == "same"
    assert found["stock-threads-1"] == "different"
    assert "golden" not in found
    assert experiment.verdict == "held"
    assert [culprit.changes for culprit in experiment.culprits] == [("stock-threads-1",), ("stock-threads-3",)]
    assert experiment.golden_digest


def test_a_user_without_a_name_trains_the_same_bits(run: Vary) -> None:
    if (reason := refusal((f"user={UNNAMED_USER}",))) is not None:
        pytest.skip(reason)
    assert verdicts(run(only=("user",)))["user"] == "same"


def test_its_file_can_be_reported_again(run: Vary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ear: Any) -> None:
    monkeypatch.setenv("STAND_IN_TRIGGER", "umask=0077")
    experiment = run("pairwise", ("umask", "packing"), stock=True, command="samebits vary --pairwise")
    document = read_experiment(tmp_path / "out")
    assert document is not None
    assert json.loads(json.dumps(experiment.document())) == document
    page = render_page(analyze_folder(tmp_path / "out", experiment=document))
    assert "Factors by values" in page
    assert "<pre><code>samebits bisect runs/golden runs/umask-077</code></pre>" in page
    assert '<p class="eyebrow">samebits vary</p>' in page
    assert str(tmp_path) not in page
    assert [row.run for row in ear.rows] == [row.run for row in experiment.rows]


def test_an_unknown_factor_is_refused(run: Vary, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a factor must be one of hash-seed"):
        run(only=("moon",))
    assert not (tmp_path / "out").exists()


def test_a_recipe_means_the_same_in_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    settings = read_settings(None, ("dataset_name=data.jsonl", "lora_r=4", "output_dir=x", "chat_template=chatml"))
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe_of(settings)))
    monkeypatch.chdir("/")
    assert read_settings(path) == settings.model_copy(
        update={"dataset_name": str(tmp_path / "data.jsonl"), "output_dir": None}
    )


MADE = {
    "a": [Variation("a-1", "a", ""), Variation("a-2", "a", "", unavailable="no")],
    "b": [Variation("b-1", "b", "", unavailable="no"), Variation("b-2", "b", "")],
    "c": [Variation("c-1", "c", "", unavailable="no")],
}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(), ["a-1", "b-2", "c-1"]),
        (Choice("once", ("a",)), ["a-1", "a-2", "b-1", "b-2", "c-1"]),
        (Choice("all"), ["a-1", "a-2", "b-1", "b-2", "c-1"]),
        (Choice("pairwise", ("a",)), ["a-2", "b-1", "c-1"]),
    ],
)
def test_what_is_run_alone(choice: Choice, expected: list[str]) -> None:
    assert [one.name for one in chosen(MADE, choice)] == expected


def test_a_cover_holds_what_can_be_made(tmp_path: Path) -> None:
    factors, rows = covered(MADE)
    assert factors == {"a": ("repeat", "a-1"), "b": ("repeat", "b-2")}
    assert sorted([one.name for one in parts] for parts in rows) == [["a-1"], ["a-1", "b-2"], ["b-2"]]
