"""From run folders to numbers: what counts, what does not, and that order and place reach nothing."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from samebits.canonical.json_bytes import dump_json
from samebits.report.analysis import analyze, analyze_folder
from samebits.report.files import write_report

WEIGHTS = "golden/adapter_model.safetensors"


def flip_last_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def run_named(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(run for run in report["runs"] if run["name"] == name)


def test_equal_runs_score_one_and_are_the_same(make_run: Any, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        make_run(name)
    report = analyze_folder(tmp_path / "runs")
    overall = report["overall_analysis"]
    assert (overall["total_runs"], overall["native_runs"], overall["docker_runs"]) == (3, 3, 0)
    assert overall["verdict"] == "same"
    assert overall["reproducibility_score"] == 1.0
    assert overall["metrics_reproducibility"]["train_loss"]["variance"] == 0.0
    assert {score["score"] for score in overall["artifact_scores"].values()} == {1.0}
    assert report["first_divergences"] == []


def test_five_equal_losses_with_different_weights_do_not_pass(make_run: Any, tmp_path: Path) -> None:
    for number in range(5):
        make_run(f"run{number}", weight=number / 8)
    report = analyze_folder(tmp_path / "runs")
    overall = report["overall_analysis"]
    assert overall["metrics_reproducibility"]["train_loss"]["variance"] == 0.0
    assert overall["artifact_scores"]["golden/results.json"]["score"] == 1.0
    assert overall["artifact_scores"][WEIGHTS]["score"] == 0.2
    assert overall["reproducibility_score"] == 0.2
    assert overall["verdict"] == "different"
    assert "equal-losses-hide-weights" in {entry["rule"] for entry in report["research_conclusions"]}


def test_one_run_in_six_that_differs_is_counted(make_run: Any, tmp_path: Path) -> None:
    for number in range(5):
        make_run(f"run{number}")
    make_run("odd", weight=0.25, train_loss=3.5000001)
    report = analyze_folder(tmp_path / "runs")
    assert report["overall_analysis"]["reproducibility_score"] == 0.8333
    assert run_named(report, "odd")["verdict"] == "different"
    verdicts = {run["name"]: run["verdict"] for run in report["runs"]}
    assert verdicts == {"odd": "different", "run0": "golden", **{f"run{n}": "same" for n in range(1, 5)}}
    metric = report["overall_analysis"]["metrics_reproducibility"]["train_loss"]
    assert metric["variance"] > 0
    assert metric["n_distinct"] == 2


def test_one_run_is_undecided_and_never_a_success(make_run: Any, tmp_path: Path) -> None:
    make_run("only")
    overall = analyze_folder(tmp_path / "runs")["overall_analysis"]
    assert overall["verdict"] == "undecided"
    assert overall["reproducibility_score"] is None
    assert overall["score"]["verdict"] == "not tested"
    assert overall["metrics_reproducibility"]["eval_loss"]["variance"] is None


def test_no_run_is_undecided(tmp_path: Path) -> None:
    overall = analyze([])["overall_analysis"]
    assert (overall["total_runs"], overall["verdict"]) == (0, "undecided")


def test_runs_are_found_at_any_depth_whatever_their_names(make_run: Any, tmp_path: Path) -> None:
    for name in ("golden", "observed-1", "deep/er/run"):
        (tmp_path / "runs" / name).parent.mkdir(parents=True, exist_ok=True)
        make_run(name)
    (tmp_path / "runs" / ".hidden").mkdir()
    (tmp_path / "runs" / "notes").mkdir()
    (tmp_path / "runs" / "notes" / "a.txt").write_text("no run")
    report = analyze_folder(tmp_path / "runs")
    assert [run["name"] for run in report["runs"]] == ["deep/er/run", "golden", "observed-1"]
    assert analyze_folder(tmp_path / "runs" / "golden")["overall_analysis"]["total_runs"] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="names of other systems are text")
def test_a_folder_whose_name_is_no_text_is_written_escaped(make_run: Any, tmp_path: Path) -> None:
    os.rename(make_run("a"), os.fsencode(tmp_path / "runs") + b"/\xff")
    make_run("\\udcff")
    report = analyze_folder(tmp_path / "runs")
    assert [run["name"] for run in report["runs"]] == ["\\\\udcff", "\\udcff"]
    assert report["overall_analysis"]["score"]["n_total"] == 2
    write_report(report, tmp_path)


def test_of_equally_common_runs_one_named_golden_is_held_against(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    make_run("golden_run_1")
    make_run("b", weight=0.25)
    report = analyze_folder(tmp_path / "runs")
    assert report["recipes"][0]["reference_run"] == "golden_run_1"
    assert {run["name"]: run["verdict"] for run in report["runs"]} == {
        "a": "same", "b": "different", "golden_run_1": "golden",
    }  # fmt: skip


def test_two_runs_that_differ_leave_none_the_same(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    make_run("b", weight=0.25)
    assert {run["verdict"] for run in analyze_folder(tmp_path / "runs")["runs"]} == {"golden", "different"}


def test_recipes_are_not_mixed(make_run: Any, tmp_path: Path) -> None:
    make_run("a1", seed=1)
    make_run("a2", seed=1)
    make_run("b1", seed=2, weight=0.25)
    make_run("b2", seed=2, weight=0.25)
    make_run("c1", seed=3, train_loss=9.0)
    report = analyze_folder(tmp_path / "runs")
    assert [recipe["runs"] for recipe in report["recipes"][2:]] == [["c1"]]
    assert sorted(recipe["runs"] for recipe in report["recipes"][:2]) == [["a1", "a2"], ["b1", "b2"]]
    assert report["overall_analysis"]["verdict"] == "same"
    assert report["overall_analysis"]["score"] == {
        "score": 1.0, "n_same": 4, "n_total": 4, "verdict": "same", "reason": None,
    }  # fmt: skip
    assert report["overall_analysis"]["metrics_reproducibility"]["train_loss"]["variance"] == 0.0
    assert run_named(report, "c1")["verdict"] == "not tested"


def test_an_incomplete_run_is_listed_and_withholds_the_verdict(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    make_run("b")
    (make_run("killed") / "artifact_summary.json").unlink()
    (tmp_path / "runs" / "empty").mkdir()
    report = analyze_folder(tmp_path / "runs")
    overall = report["overall_analysis"]
    assert overall["total_runs"] == 4
    assert overall["comparable_runs"] == 2
    assert overall["undecided_runs"] == ["empty", "killed"]
    assert overall["reproducibility_score"] == 1.0
    assert overall["verdict"] == "undecided"
    assert "resume" in run_named(report, "killed")["reasons"][0]


@pytest.mark.parametrize("damage", ["not json", '{"golden_digest":"0"}', "{}"])
def test_a_bad_summary_is_undecided_with_its_reason(make_run: Any, tmp_path: Path, damage: str) -> None:
    make_run("a")
    make_run("b")
    (make_run("bad") / "artifact_summary.json").write_text(damage)
    report = analyze_folder(tmp_path / "runs")
    assert run_named(report, "bad")["verdict"] == "undecided"
    assert run_named(report, "bad")["reasons"]
    assert report["overall_analysis"]["verdict"] == "undecided"


def test_a_flipped_bit_after_recording_is_different(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    make_run("b")
    flip_last_bit(make_run("c") / WEIGHTS)
    report = analyze_folder(tmp_path / "runs")
    assert report["overall_analysis"]["verdict"] == "different"
    assert report["overall_analysis"]["damaged_runs"] == ["c"]
    assert report["overall_analysis"]["score"]["n_same"] == 2
    assert any("changed after recording" in reason for reason in run_named(report, "c")["reasons"])
    [found] = report["first_divergences"]
    assert found["runs"] == ["c"]
    assert found["artifacts"] == [WEIGHTS]
    assert "changed after training" in found["note"]


def test_a_missing_file_agrees_with_none(make_run: Any, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        path = make_run(name)
    (path / "golden" / "generations.jsonl").unlink()
    report = analyze_folder(tmp_path / "runs")
    score = report["overall_analysis"]["artifact_scores"]["golden/generations.jsonl"]
    assert (score["n_same"], score["n_total"]) == (2, 3)
    assert run_named(report, "c")["verdict"] == "different"


def test_a_missing_recipe_is_undecided(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    (make_run("b") / "golden" / "recipe.json").unlink()
    report = analyze_folder(tmp_path / "runs")
    assert run_named(report, "b")["verdict"] == "undecided"


def test_a_damaged_run_alone_is_different_from_what_it_recorded(make_run: Any, tmp_path: Path) -> None:
    flip_last_bit(make_run("a") / WEIGHTS)
    assert analyze_folder(tmp_path / "runs")["overall_analysis"]["verdict"] == "different"


def test_a_link_in_a_run_is_not_followed(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    path = make_run("b")
    (path / WEIGHTS).unlink()
    (path / WEIGHTS).symlink_to(tmp_path / "runs" / "a" / WEIGHTS)
    report = analyze_folder(tmp_path / "runs")
    assert run_named(report, "b")["verdict"] == "undecided"
    assert "link" in run_named(report, "b")["reasons"][0]


def test_environments_that_agree_and_that_do_not(make_run: Any, tmp_path: Path) -> None:
    make_run("n1")
    make_run("n2")
    make_run("d1", environment="docker")
    make_run("d2", environment="docker")
    report = analyze_folder(tmp_path / "runs")
    cross = report["cross_environment_analysis"]
    assert report["overall_analysis"]["docker_runs"] == 2
    assert cross["cross_environment_agreement"] == 1.0
    make_run("ci1", environment="ci", weight=0.25)
    report = analyze_folder(tmp_path / "runs")
    cross = report["cross_environment_analysis"]
    assert report["overall_analysis"]["runs_per_environment"] == {"ci": 1, "docker": 2, "native": 2}
    assert cross["agreement"]["n_same"] == 4
    assert cross["agreement"]["n_total"] == 8
    verdicts = {tuple(pair["environments"]): pair["agreement"]["verdict"] for pair in cross["pairs"]}
    assert verdicts == {
        ("ci", "docker"): "different", ("ci", "native"): "different", ("docker", "native"): "same",
    }  # fmt: skip


def test_one_environment_is_not_tested(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    make_run("b")
    cross = analyze_folder(tmp_path / "runs")["cross_environment_analysis"]
    assert cross["cross_environment_agreement"] is None
    assert cross["agreement"]["verdict"] == "not tested"
    assert cross["agreement"]["reason"]


def test_an_unknown_environment_is_no_environment_to_agree_with(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    (make_run("b") / "observed" / "execution.json").unlink()
    report = analyze_folder(tmp_path / "runs")
    assert report["cross_environment_analysis"]["cross_environment_agreement"] is None
    assert report["overall_analysis"]["runs_per_environment"] == {"native": 1, "unknown": 1}


def test_a_metric_that_nobody_measured_is_not_tested(make_run: Any, tmp_path: Path) -> None:
    make_run("a", eval_loss=None)
    make_run("b", eval_loss=None)
    metric = analyze_folder(tmp_path / "runs")["overall_analysis"]["metrics_reproducibility"]["eval_loss"]
    assert metric["variance"] is None
    assert metric["reason"]


def test_the_report_depends_on_neither_order_nor_place(make_run: Any, tmp_path: Path) -> None:
    paths = [make_run(name, weight=weight) for name, weight in (("a", 0.5), ("b", 0.25), ("c", 0.5))]
    (paths[2] / "artifact_summary.json").write_text("{")
    expected = dump_json(analyze(paths))
    assert dump_json(analyze(paths[::-1])) == expected
    shutil.copytree(tmp_path / "runs", tmp_path / "elsewhere" / "runs")
    report = dump_json(analyze_folder(tmp_path / "elsewhere" / "runs"))
    assert report == expected
    assert str(tmp_path).encode() not in report


def test_the_first_divergence_names_step_and_field(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    make_run("b")
    make_run("other-loss", losses=(4.0, 3.625, 3.25), weight=0.25)
    make_run("other-weights", weight=0.125)
    found = {entry["run"]: entry for entry in analyze_folder(tmp_path / "runs")["first_divergences"]}
    assert (found["other-loss"]["step"], found["other-loss"]["field"]) == (2, "loss")
    assert found["other-loss"]["candidate"] == (3.625).hex()
    assert (found["other-weights"]["step"], found["other-weights"]["field"]) == (2, "parameters_sha256")


def test_the_fields_demanded_of_the_report_are_there(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    make_run("b")
    report = analyze_folder(tmp_path / "runs")
    assert {"total_runs", "native_runs", "docker_runs", "reproducibility_score", "metrics_reproducibility"} <= set(
        report["overall_analysis"]
    )
    assert all("variance" in metric for metric in report["overall_analysis"]["metrics_reproducibility"].values())
    assert "cross_environment_agreement" in report["cross_environment_analysis"]
    assert report["research_conclusions"]


def two_profiles(make_run: Any) -> None:
    for name in ("stock", "stock-repeat", "stock-threads-1"):
        make_run(name, numerics="stock", weight=0.25 if name.endswith("1") else 0.5)
    make_run("golden", numerics="portable-f32")
    make_run("repeat", numerics="portable-f32", environment="docker")


def test_profiles_are_counted_apart_and_stock_comes_last(make_run: Any, tmp_path: Path) -> None:
    two_profiles(make_run)
    report = analyze_folder(tmp_path / "runs")
    assert [recipe["numerics"] for recipe in report["recipes"]] == ["portable-f32", "stock"]
    portable, stock = report["profiles"]
    assert (portable["numerics"], portable["n_runs"], portable["n_distinct_golden_digests"]) == ("portable-f32", 2, 1)
    assert (stock["numerics"], stock["n_runs"], stock["n_distinct_golden_digests"]) == ("stock", 3, 2)
    assert (portable["score"]["verdict"], stock["score"]["n_same"]) == ("same", 2)
    assert {run["name"]: run["numerics"] for run in report["runs"]}["stock"] == "stock"


def test_environments_agree_by_profile(make_run: Any, tmp_path: Path) -> None:
    two_profiles(make_run)
    make_run("stock-docker", numerics="stock", environment="docker")
    report = analyze_folder(tmp_path / "runs")
    cross = report["cross_environment_analysis"]
    shares = {pair["numerics"]: (pair["agreement"]["n_same"], pair["agreement"]["n_total"]) for pair in cross["pairs"]}
    assert shares == {"portable-f32": (1, 1), "stock": (2, 3)}
    assert (cross["agreement"]["n_same"], cross["agreement"]["n_total"]) == (3, 4)
    assert [profile["agreement"]["score"] for profile in report["profiles"]] == [1.0, 0.6666]


@pytest.mark.parametrize(("below", "expected"), [("", "runs"), ("runs", ".")])
def test_the_document_says_where_its_names_begin(make_run: Any, tmp_path: Path, below: str, expected: str) -> None:
    make_run("a")
    make_run("b")
    assert analyze_folder(tmp_path / below)["runs_folder"] == expected
    assert analyze([])["runs_folder"] == "."
