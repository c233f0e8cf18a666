from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from samebits.record.layout import RunFolder
from samebits.record.manifest import read_summary
from samebits.verify.compare import compare

MakeRun = Callable[..., Path]
Pair = Callable[..., tuple[Path, Path]]


def test_same_runs(make_run: MakeRun) -> None:
    golden, candidate = make_run("golden"), make_run("candidate", n_threads=8)
    comparison = compare(golden, candidate)
    assert (comparison.verdict, comparison.difference) == ("same", None)
    assert comparison.golden_digest == comparison.candidate_digest == read_summary(RunFolder(golden)).golden_digest
    assert (comparison.n_files, comparison.n_same_files) == (7, 7)
    assert comparison.environment is None


def test_observed_data_never_reaches_the_verdict(make_run: MakeRun) -> None:
    golden, candidate = make_run("golden"), make_run("candidate", n_threads=8)
    comparison = compare(golden, candidate, show_environment=True)
    assert comparison.verdict == "same"
    assert comparison.environment == (("execution.n_threads", 2, 8),)
    (candidate / "observed" / "env.json").write_bytes(b"\xff")
    assert compare(golden, candidate, show_environment=True).verdict == "same"
    shutil.rmtree(candidate / "observed")
    comparison = compare(golden, candidate, show_environment=True)
    assert (comparison.verdict, comparison.environment) == ("same", None)
    assert "the candidate has no observed/execution.json" in comparison.remarks[0]
    assert compare(golden, candidate).remarks == ()


def test_different_runs_show_their_machines(make_run: MakeRun) -> None:
    comparison = compare(make_run("golden"), make_run("candidate", weight=0.25, n_threads=8))
    assert comparison.verdict == "different"
    assert comparison.environment == (("execution.n_threads", 2, 8),)
    assert "OMP_NUM_THREADS" in comparison.next_steps[0]


def test_a_run_against_itself_says_so(make_run: MakeRun, tmp_path: Path) -> None:
    golden = make_run("golden")
    (tmp_path / "link").symlink_to(golden)
    for candidate in (golden, tmp_path / "link"):
        comparison = compare(golden, candidate)
        assert comparison.verdict == "same"
        assert "one and the same path" in comparison.remarks[0]


def test_a_run_against_a_bare_copy_of_golden(make_run: MakeRun, tmp_path: Path) -> None:
    golden = make_run("golden")
    shutil.copytree(golden / "golden", tmp_path / "copy")
    for pair in ((golden, tmp_path / "copy"), (tmp_path / "copy", golden)):
        comparison = compare(*pair)
        assert comparison.verdict == "same"
        assert comparison.golden_digest == comparison.candidate_digest
        assert "taken for a copy of a golden folder" in comparison.remarks[0]
    (tmp_path / "copy" / "recipe.json").unlink()
    assert compare(golden, tmp_path / "copy").verdict == "undecided"


def test_only_a_run_that_can_go_on_is_to_be_resumed(make_run: MakeRun, tmp_path: Path) -> None:
    golden, lost, other = make_run("golden"), make_run("lost"), make_run("other")
    shutil.rmtree(lost / "golden")
    shutil.rmtree(other / "golden")
    (tmp_path / "empty").mkdir()
    (tmp_path / "unfinished" / "checkpoints").mkdir(parents=True)
    steps = {}
    for name in ("lost", "empty", "unfinished"):
        for pair in ((golden, tmp_path / name), (tmp_path / name, golden)):
            comparison = compare(*pair)
            assert comparison.verdict == "undecided"
            (steps[name],) = comparison.next_steps
    assert "fetch golden/ again" in steps["lost"]
    assert f"samebits train RECIPE --out {tmp_path / 'empty'}" in steps["empty"]
    assert f"--resume --out {tmp_path / 'unfinished'}" in steps["unfinished"]
    # Neither has a golden/ now: nothing that they still hold is what runs are compared by.
    for candidate in (lost, other):
        assert compare(lost, candidate).verdict == "undecided"


@pytest.mark.parametrize("weight", [0.5, 0.25])
def test_a_run_without_its_summary_is_not_judged(make_run: MakeRun, tmp_path: Path, weight: float) -> None:
    golden, candidate = make_run("golden"), make_run("candidate", weight=weight)
    (candidate / "artifact_summary.json").unlink()
    shutil.copytree(golden / "golden", tmp_path / "bare")
    for pair in ((golden, candidate), (candidate, golden), (tmp_path / "bare", candidate)):
        comparison = compare(*pair)
        assert comparison.verdict == "undecided"
        assert comparison.next_steps == (f"finish the run: samebits train RECIPE --resume --out {candidate}",)
    assert compare(golden, candidate / "golden").verdict == ("same" if weight == 0.5 else "different")
    shutil.rmtree(candidate / "observed")
    (candidate / "checkpoints").mkdir()
    assert compare(golden, candidate).verdict == "undecided"
    (candidate / "checkpoints").rmdir()
    assert compare(golden, candidate).verdict == ("same" if weight == 0.5 else "different")


def test_plain_folders_and_files(pair: Pair) -> None:
    golden, candidate = pair(b"a\n", b"b\n", "x.txt")
    assert compare(golden, candidate).verdict == "different"
    assert compare(golden.parent, candidate.parent).verdict == "different"
    candidate.write_bytes(b"a\n")
    assert compare(golden, candidate).verdict == "same"
    assert compare(golden.parent, candidate.parent).verdict == "same"


@pytest.mark.timeout(20)
def test_what_cannot_be_compared_is_undecided_in_one_sentence(make_run: MakeRun, tmp_path: Path) -> None:
    golden = make_run("golden")
    (tmp_path / "empty").mkdir()
    (tmp_path / "stranger").mkdir()
    (tmp_path / "stranger" / "notes.txt").touch()
    (tmp_path / "unfinished" / "checkpoints").mkdir(parents=True)
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    cases = {
        "none": "the path must exist, got nothing there",
        "dangling": "the path must exist, got nothing there",
        "pipe": "must be a file or a folder, got a FIFO",
        "file": "a folder and a file cannot be compared",
        "unfinished": "the candidate has no golden/: its run was not finished",
        "empty": "the candidate is an empty folder",
        "stranger": "the candidate has neither golden/ nor golden files in it: no run folder",
        "n" * 5000: "the path must be readable, got File name too long",
        "nul\0byte": "the path must be readable",
    }
    for name, words in cases.items():
        comparison = compare(golden, tmp_path / name)
        assert comparison.verdict == "undecided", name
        assert comparison.difference is not None
        assert words in comparison.difference.note
    assert compare(tmp_path / "empty", tmp_path / "empty").verdict == "undecided"


def test_comparing_equal_runs_loads_no_numpy(make_run: MakeRun) -> None:
    heavy = {"numpy", "torch", "transformers", "pydantic", "matplotlib", "tokenizers", "huggingface_hub", "rich"}

    def loaded(golden: Path, candidate: Path) -> set[str]:
        program = (
            "import sys; from pathlib import Path; from samebits.verify.compare import compare\n"
            "compare(Path(sys.argv[1]), Path(sys.argv[2])); print(*sys.modules)"
        )
        arguments = [sys.executable, "-c", program, str(golden), str(candidate)]
        output = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
        return heavy & set(output.split())

    golden = make_run("golden")
    assert loaded(golden, make_run("same")) == set()
    # Proof that the measure sees an import: different adapters are opened with NumPy, and with nothing else.
    assert loaded(golden, make_run("other", weight=0.25)) == {"numpy"}


def test_machines_of_what_is_no_run_cannot_be_compared_and_that_is_said(make_run: MakeRun) -> None:
    golden = make_run("golden")
    for path in (golden / "golden", golden / "golden" / "recipe.json"):
        remarks = compare(path, path, show_environment=True).remarks
        assert sum("the machines cannot be compared" in remark for remark in remarks) == 2
