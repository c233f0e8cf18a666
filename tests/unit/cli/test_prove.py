from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from samebits.cli.prove import command
from samebits.data.reader import embedded_path
from samebits.errors import SamebitsError
from samebits.recipe.reader import settings_from
from samebits.record.progress import Silence

pytestmark = pytest.mark.usefixtures("native_libraries")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from samebits.training.portable import train

    out = tmp_path_factory.mktemp("prove") / "run"
    values = {"numerics": "portable-f32", "max_steps": 2, "threads": 1, "generation_max_new_tokens": 1}
    train(settings_from(values, where="test"), out, resume=False, progress=Silence())
    return out


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_a_proof_is_made_and_holds_without_the_run(run: Path, tmp_path: Path) -> None:
    golden_digest = json.loads((run / "artifact_summary.json").read_text())["golden_digest"]
    line = json.loads((run / "golden" / "trace.jsonl").read_text().splitlines()[1])
    sample, out = line["sample_ids"][2], tmp_path / "proof.json"
    made = _run(run, "--sample", sample, "--step", 2, "--out", out)
    assert (made.exit_code, made.stdout) == (0, f"proof for sample {sample}: {out}\n")
    assert _run(run, "--sample", sample, "--step", 2).stdout_bytes == out.read_bytes()
    done = _run("--check", out, "--data", embedded_path())
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        f"HOLDS  sample {sample} took part in step 2",
        f"tokens    {line['sample_tokens_sha256'][2]}",
        f"gradient  {line['sample_gradients_sha256'][2]}",
        golden_digest,
    ]
    document = json.loads(_run("--check", out, "--json").stdout)
    assert (document["faults"], document["golden_digest"]) == ([], golden_digest)


def test_a_proof_that_does_not_hold_exits_1(run: Path, tmp_path: Path) -> None:
    sample = json.loads((run / "golden" / "trace.jsonl").read_text().splitlines()[0])["sample_ids"][0]
    out = tmp_path / "proof.json"
    _run(run, "--sample", sample, "--out", out)
    done = _run("--check", out, "--data", run / "golden" / "recipe.json")
    assert done.exit_code == 1
    assert done.stdout.startswith("DOES NOT HOLD  the data is not the file that the recipe names")
    document = json.loads(out.read_text())
    document["results"]["n_steps"] += 1
    out.write_text(json.dumps(document))
    done = _run("--check", out)
    assert done.exit_code == 1
    assert done.stdout.count("DOES NOT HOLD") == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "a proof must have a run and --sample"),
        (["RUN"], "a proof must have a run and --sample"),
        (["RUN", "--sample", "0", "--data", "x"], "a proof must have a run and --sample"),
        (["RUN", "--check", "x"], "--check must stand without a run"),
        (["--check", "x", "--sample", "1"], "--check must stand without a run"),
        (["--check", "none"], "the proof must be readable"),
        (["RUN", "--sample", "999"], "sample 999 must take part in a step of the run"),
        (["none", "--sample", "0"], "a run folder must be there"),
    ],
)
def test_what_cannot_be_told_is_refused(run: Path, arguments: list[str], told: str) -> None:
    result = _run(*(run if argument == "RUN" else argument for argument in arguments))
    assert isinstance(result.exception, SamebitsError)
    assert told in str(result.exception)
    assert result.exception.exit_code == 2
