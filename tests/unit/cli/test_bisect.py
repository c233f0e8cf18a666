from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from samebits.cli.bisect import command
from samebits.errors import SamebitsError
from samebits.recipe.reader import settings_from
from samebits.record.progress import Silence
from samebits.study.trainer import trainer

pytestmark = pytest.mark.usefixtures("native_libraries")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, native_libraries: Path) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("bisect")
    for name, seed in (("a", 42), ("b", 43)):
        settings = settings_from({"max_steps": 2, "threads": 1, "seed": seed, "data_seed": 42}, where="here")
        trainer("portable-f32")(settings, folder / name, resume=False, progress=Silence())
    return str(folder / "a"), str(folder / "b")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_exit_codes_and_the_two_forms_agree(runs: tuple[str, str]) -> None:
    for arguments, code, word in (((runs[0], runs[0]), 0, "SAME"), (runs, 1, "DIFFERENT"), ((runs[0],), 0, "SAME")):
        result = run(*arguments)
        assert (result.exit_code, result.stdout.split("  ")[0]) == (code, word)
        result = run("--json", *arguments)
        assert (result.exit_code, json.loads(result.stdout)["verdict"]) == (code, word.lower())


def test_json_holds_digests_whole(runs: tuple[str, str]) -> None:
    document = json.loads(run("--json", *runs).stdout)
    assert document["cause"]["name"] == "seed"
    assert len(document["place"]["operation"]["a"]["sha256"]) == 64
    assert [rerun["repeats"] for rerun in document["reruns"]] == [True, True]


def test_nothing_is_executed_where_it_is_not_wanted(runs: tuple[str, str]) -> None:
    document = json.loads(run("--no-run", "--json", *runs).stdout)
    assert (document["reruns"], document["place"]["step"]) == ([], 1)


def test_a_base_that_is_not_here_leaves_one_run_undecided(runs: tuple[str, str], tmp_path: Path) -> None:
    copy = shutil.copytree(runs[0], tmp_path / "copy")
    recipe = json.loads((copy / "golden" / "recipe.json").read_text())
    recipe["base"]["weights_sha256"] = "0" * 64
    (copy / "golden" / "recipe.json").write_text(json.dumps(recipe))
    shutil.copytree(copy / "golden", tmp_path / "golden")
    result = run(str(tmp_path / "golden"))
    assert result.exit_code == 2
    assert "note: not executed here: the base must be" in result.stdout


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    result = run(str(tmp_path / "none"))
    assert isinstance(result.exception, SamebitsError)
    assert "A must be a run folder, got nothing there" in str(result.exception)
