from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from samebits.canonical.json_bytes import dump_json
from samebits.cli.trace import command
from samebits.errors import SamebitsError
from samebits.recipe.reader import settings_from
from samebits.record.layout import RunFolder
from samebits.record.manifest import check_summary
from samebits.record.operations import kept_output, operations_file, read_operations
from samebits.record.progress import Silence
from samebits.record.trace import step_record, trace_bytes

pytestmark = pytest.mark.usefixtures("native_libraries")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from samebits.training.portable import train

    out = tmp_path_factory.mktemp("trace") / "run"
    values = {"numerics": "portable-f32", "max_steps": 2, "threads": 1, "generation_max_new_tokens": 1}
    train(settings_from(values, where="test"), out, resume=False, progress=Silence())
    return out


@pytest.fixture
def run(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "run"))


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_a_trace_lies_in_the_run_and_the_golden_files_are_as_they_were(run: Path) -> None:
    done = _run(run, "--step", 2, "--set", "threads=2")
    assert done.exit_code == 0, done.exception
    assert done.stdout.startswith("rebuilt from the beginning: all lines up to step 2 are the recorded ones\n")
    trace = read_operations(run, operations_file(2))
    assert (trace.header.level, trace.header.n_threads) == ("op", 2)
    assert f"{len(trace.outputs)} outputs of step 2 at level op" in done.stdout
    assert check_summary(RunFolder(run)) == []


def test_tensors_are_kept_where_they_are_asked_for(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "traces"
    arguments = (run, "--step", 1, "--level", "module", "--out", out)
    assert _run(*arguments, "--only", 2, "--only", 5).exit_code == 0
    assert not (run / "observed" / "operations").exists()
    name = Path(operations_file(1)).name
    outputs = read_operations(out, name).outputs
    assert [output.n for output in outputs if kept_output(out, name, output) is not None] == [2, 5]
    assert json.loads(_run(*arguments, "--tensors", "--json").stdout) == {
        "path": str(out / name), "resumed_from": 0, "n_outputs": len(outputs), "first_difference": None,
    }  # fmt: skip
    assert all(kept_output(out, name, output) is not None for output in outputs)


def test_another_step_here_exits_1_and_is_traced(run: Path) -> None:
    path = run / "golden" / "trace.jsonl"
    record = json.loads(path.read_text().splitlines()[0])
    values = {key: value for key, value in record.items() if key != "sha256"}
    floats = {name: float.fromhex(values[name]) for name in ("loss", "grad_norm", "learning_rate")}
    path.write_bytes(trace_bytes([step_record(**{**values, **floats, "loss": floats["loss"] + 1})]))
    done = _run(run, "--step", 1)
    assert done.exit_code == 1
    assert "step 1 is another one here (loss)" in done.stdout
    assert read_operations(run, operations_file(1)).header.trace_line_sha256 == record["sha256"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["none", "--step", "1"], "a run folder must be there"),
        (["RUN", "--step", "3"], "--step must be from 1 to 2"),
        (["RUN", "--step", "1", "--set", "seed=1"], "--set must be KEY=VALUE with a key of role execution"),
        (["RUN", "--step", "1", "--set", "threads"], "--set must be KEY=VALUE with a key of role execution"),
        (["RUN", "--step", "1", "--set", "threads=many"], "threads"),
        (["RUN", "--step", "1", "--base", "/nowhere"], "/nowhere"),
    ],
)
def test_what_cannot_be_traced_is_refused(run: Path, arguments: list[str], told: str) -> None:
    result = _run(*(run if argument == "RUN" else argument for argument in arguments))
    assert isinstance(result.exception, SamebitsError)
    assert told in str(result.exception)
    assert result.exception.exit_code == 2
    assert not (run / "observed" / "operations").exists()


def test_a_recipe_that_is_none_is_refused(run: Path) -> None:
    (run / "golden" / "recipe.json").write_bytes(dump_json({"numerics": "stock", "settings": 3}))
    result = _run(run, "--step", 1)
    assert "a recipe must have settings, base and data" in str(result.exception)
