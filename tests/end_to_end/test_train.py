"""`samebits train` as its users run it: a command line, an exit code, two streams."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from samebits.recipe.settings import Settings
from samebits.record.layout import RunFolder
from samebits.record.manifest import read_summary

FAST = ("--set", "max_steps=3", "--set", "generation_max_new_tokens=2", "--set", "threads=1")
PROFILES = ("numerics=portable-f32", "numerics=stock")

Samebits = Callable[..., subprocess.CompletedProcess[str]]
Run = tuple[Path, subprocess.CompletedProcess[str], str]


@pytest.fixture(scope="module", params=PROFILES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, samebits: Samebits) -> Run:
    """The folder, the finished child, and the setting that names the profile."""
    out = tmp_path_factory.mktemp("train") / "run"
    child = samebits("train", "--out", out, *FAST, "--set", request.param, "--set", "logging_steps=2")
    return out, child, request.param


def test_the_last_line_is_the_golden_digest(run: Run) -> None:
    out, child, _ = run
    assert child.returncode == 0, child.stderr
    assert child.stdout.splitlines()[-1] == read_summary(RunFolder(out)).golden_digest
    results = json.loads((out / "golden" / "results.json").read_text())
    assert results["train_loss_hex"] in child.stdout
    assert results["eval_perplexity_hex"] in child.stdout


def test_stderr_holds_the_steps_that_are_due_and_nothing_else(run: Run) -> None:
    lines = [line for line in run[1].stderr.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 2
    assert re.fullmatch(r"step 2/3  loss \d+\.\d{6}  lr \d\.\d{3}e-\d\d  grad norm \d+\.\d{4}", lines[0])
    assert lines[1].startswith("step 3/3  ")


def test_under_stock_the_hash_seed_is_set_before_python_starts(run: Run) -> None:
    env = json.loads((run[0] / "observed" / "env.json").read_text())
    expected = "42" if run[2] == "numerics=stock" else os.environ.get("PYTHONHASHSEED")
    assert env["variables"].get("PYTHONHASHSEED") == expected


def test_portable_is_the_default(run: Run) -> None:
    recipe = json.loads((run[0] / "golden" / "recipe.json").read_text())
    assert f"numerics={recipe['numerics']}" == run[2]
    assert ("numerics_version" in recipe) == (run[2] == "numerics=portable-f32")
    assert Settings().numerics == "portable-f32"


def test_another_process_elsewhere_has_the_same_bits(run: Run, samebits: Samebits, tmp_path: Path) -> None:
    surroundings = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "SAMEBITS_ENVIRONMENT": "elsewhere"}
    child = samebits("train", *FAST, "--set", run[2], "--json", cwd=tmp_path, **surroundings)
    assert child.returncode == 0, child.stderr
    answer: dict[str, Any] = json.loads(child.stdout)
    assert answer["golden_digest"] == run[1].stdout.splitlines()[-1]
    assert re.fullmatch(r"artifacts/golden_run_\d{8}_\d{6}_elsewhere", Path(answer["output_dir"]).as_posix())
    assert answer["results"]["n_steps"] == 3
    execution = json.loads((tmp_path / answer["output_dir"] / "observed" / "execution.json").read_text())
    assert (execution["environment"], execution["n_threads"]) == ("elsewhere", 1)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one child alone")
@pytest.mark.parametrize("profile", PROFILES)
def test_an_interrupted_run_says_how_it_goes_on(
    profile: str, program: list[str], samebits: Samebits, tmp_path: Path
) -> None:
    # Enough steps for the signal to come in time.
    steps = ("--set", "max_steps=40" if profile != "numerics=stock" else "max_steps=7")
    arguments = ("--set", profile, *steps, "--set", "save_steps=1", "--set", "generation_max_new_tokens=1")
    command = [*program, "train", *arguments]
    child = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    assert any(line.startswith("step 2/") for line in child.stderr)
    child.send_signal(signal.SIGINT)
    said = child.communicate()[1]
    # A shell sees 130 either way.
    assert child.returncode in (130, -signal.SIGINT)
    found = re.search(
        r"^stopped: the same command with (--out \S+ --resume) goes on to the same bits$", said, re.MULTILINE
    )
    assert found, said
    resumed = samebits("train", *arguments, *found[1].split(), cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "training goes on after step" in resumed.stderr


def test_resume_of_a_finished_run_prints_its_digest(run: Run, samebits: Samebits) -> None:
    child = samebits("train", "--out", run[0], "--resume", *FAST, "--set", run[2])
    assert child.returncode == 0
    assert child.stdout.splitlines()[-1] == run[1].stdout.splitlines()[-1]
    assert "finished already" in child.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--resume",), "--resume must know the run folder"),
        (("--set", "lorar=4"), "every key must be a known setting, got `lorar`"),
        (("--set", "lora_r=0"), "`lora_r`"),
        (("nowhere.yaml",), "the recipe must be a readable UTF-8 file"),
        (("--set", "dataset_name=nowhere.jsonl"), "nowhere.jsonl"),
        *(
            (("--set", profile, "--set", "lora_target_modules=q_proj", "--out", "new"), "must name linear layers")
            for profile in PROFILES
        ),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(
    samebits: Samebits, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    child = samebits("train", *arguments, cwd=tmp_path)
    assert child.returncode == 2
    assert told in child.stderr
    assert child.stderr.startswith("error: ")
    assert len(child.stderr.splitlines()) == 1
    assert child.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_file_decides_and_set_decides_over_it(samebits: Samebits, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("max_iters: 2\nrank: 4\nalpha: 8\nthreads: 1\ngeneration_prompts: [Hello]\nval_size: 0\n")
    child = samebits("train", recipe, "--set", "r=2", "--out", tmp_path / "run")
    assert child.returncode == 0, child.stderr
    arguments = json.loads((tmp_path / "run" / "golden" / "training_args.json").read_text())
    assert (arguments["n_steps"], arguments["lora_r"], arguments["lora_alpha"]) == (2, 2, 8)
    assert "eval_loss        none (no samples were held out)" in child.stdout


def test_a_folder_with_a_line_break_is_printed_on_one_line(samebits: Samebits, tmp_path: Path) -> None:
    child = samebits("train", *FAST, "--out", "a\nb", cwd=tmp_path)
    assert child.returncode == 0, child.stderr
    lines = child.stdout.splitlines()
    assert lines[-2:] == ["run              a\\nb", read_summary(RunFolder(tmp_path / "a\nb")).golden_digest]
    assert len(lines) == 6


def test_list_settings_tells_every_setting_without_torch(samebits: Samebits) -> None:
    child = samebits("train", "--list-settings")
    assert child.returncode == 0
    assert "lora_r = 16  [recipe]" in child.stdout
    listed = json.loads(samebits("train", "--list-settings", "--json").stdout)
    assert {row["role"] for row in listed} == {"recipe", "execution", "location"}
    assert next(row for row in listed if row["name"] == "seed")["aliases"] == [
        "master_seed",
        "random_state",
        "random_seed",
    ]
