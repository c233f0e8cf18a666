"""The study's own entry points and Python names keep working, and give the run that `samebits train` gives."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SHORT = {"max_steps": 2, "generation_max_new_tokens": 2}


def _run(*command: str, cwd: Path, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment, timeout=300)
    assert finished.returncode == exit_code, finished.stderr
    return finished


@pytest.fixture(scope="module")
def golden_digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("entry") / "run"
    pairs = [part for key, value in SHORT.items() for part in ("--set", f"{key}={value}")]
    finished = _run(sys.executable, "-m", "samebits", "train", *pairs, "--out", str(out), cwd=out.parent)
    summary: dict[str, Any] = json.loads((out / "artifact_summary.json").read_bytes())
    assert finished.stdout.splitlines()[-1] == summary["golden_digest"]
    return str(summary["golden_digest"])


def test_train_script_and_analyze_script(tmp_path: Path, golden_digest: str) -> None:
    pairs = [part for key, value in SHORT.items() for part in ("--set", f"{key}={value}")]
    script = str(ROOT / "src" / "train_lora_reproducible.py")
    trained = _run(sys.executable, script, *pairs, "--out", "artifacts/run", cwd=tmp_path)
    assert trained.stdout.splitlines()[-1] == golden_digest
    # One run is held against nothing: the analysis is written, and its verdict is "undecided".
    _run(sys.executable, str(ROOT / "src" / "analyze_reproducibility.py"), cwd=tmp_path, exit_code=2)
    assert (tmp_path / "artifacts" / "reproducibility_analysis_report.json").exists()


def test_analyze_script_takes_options_without_a_folder(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    script = str(ROOT / "src" / "analyze_reproducibility.py")
    printed = _run(sys.executable, script, "--json", cwd=tmp_path, exit_code=2).stdout
    assert json.loads(printed)["overall_analysis"]["total_runs"] == 0
    assert (tmp_path / "artifacts" / "report.html").exists()
    named = _run(sys.executable, script, "elsewhere", "--json", cwd=tmp_path, exit_code=2)
    assert "elsewhere" in named.stderr


def test_old_import_path(tmp_path: Path) -> None:
    code = (
        "from src.utils.deterministic_config import DeterministicConfig as old\n"
        "from samebits import DeterministicConfig as new\n"
        "assert old is new\n"
        "old.setup_deterministic_environment(seed=42)\n"
        "valid, messages = old.validate_deterministic_setup()\n"
        "assert isinstance(valid, bool) and all(isinstance(line, str) for line in messages)\n"
    )
    _run(sys.executable, "-c", code, cwd=ROOT)


def test_python_class_trains_the_same_run(tmp_path: Path, golden_digest: str) -> None:
    code = (
        "import json, sys\n"
        "from samebits import ReproducibleLoRATrainer\n"
        "results = ReproducibleLoRATrainer(config=json.loads(sys.argv[1])).run_reproducible_training()\n"
        "print(json.dumps(results))\n"
    )
    config = {**SHORT, "output_dir": str(tmp_path / "run"), "master_seed": 42}
    printed = _run(sys.executable, "-c", code, json.dumps(config), cwd=tmp_path).stdout
    results = json.loads(printed.splitlines()[-1])
    assert results["golden_digest"] == golden_digest
    assert results["train_loss"] > 0
    assert results["output_dir"] == str(tmp_path / "run")


def test_python_class_resumes_to_the_same_run(tmp_path: Path, golden_digest: str) -> None:
    """The summary is written last: without it and the golden folder, a run is one that was killed."""
    code = (
        "import json, shutil, sys\n"
        "from pathlib import Path\n"
        "from samebits import ReproducibleLoRATrainer\n"
        "trainer = ReproducibleLoRATrainer(config=json.loads(sys.argv[1]))\n"
        "out = Path(trainer.run_reproducible_training()['output_dir'])\n"
        "shutil.rmtree(out / 'golden')\n"
        "(out / 'artifact_summary.json').unlink()\n"
        "(last,) = (out / 'checkpoints').iterdir()\n"
        "print(last.name)\n"
        "print(trainer.run_reproducible_training(resume=True)['golden_digest'])\n"
    )
    config = {**SHORT, "output_dir": str(tmp_path / "run"), "master_seed": 42, "save_steps": 1, "save_total_limit": 1}
    printed = _run(sys.executable, "-c", code, json.dumps(config), cwd=tmp_path).stdout
    assert printed.splitlines()[-2:] == ["step-00000001", golden_digest]


def test_a_resumption_must_name_its_run() -> None:
    from samebits import ReproducibleLoRATrainer
    from samebits.errors import RecipeError

    with pytest.raises(RecipeError, match="`output_dir` must name the run to resume"):
        ReproducibleLoRATrainer().run_reproducible_training(resume=True)


def test_a_wrong_setting_is_refused_by_name() -> None:
    from samebits import ReproducibleLoRATrainer
    from samebits.errors import RecipeError

    with pytest.raises(RecipeError, match="lora_rank"):
        ReproducibleLoRATrainer(config={"lora_rnk": 8})


@pytest.mark.parametrize("config", [[1], [], "seed=1", 1])
def test_a_config_that_is_no_mapping_is_refused(config: Any) -> None:
    from samebits import ReproducibleLoRATrainer
    from samebits.errors import RecipeError

    with pytest.raises(RecipeError, match="`config` must be a mapping of settings, got "):
        ReproducibleLoRATrainer(config)


def test_the_package_has_no_other_public_names() -> None:
    import samebits

    with pytest.raises(AttributeError, match="nothing"):
        _ = samebits.nothing  # type: ignore[attr-defined]
    assert all(hasattr(samebits, name) for name in samebits.__all__)
