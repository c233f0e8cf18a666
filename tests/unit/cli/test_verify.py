"""The command: exit codes, what it asks for, and what it hands to the engines."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from samebits.cli import verify as module
from samebits.cli.verify import command
from samebits.errors import UsageError


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained_run, tmp_path / "run")


def invoke(*arguments: Any) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_a_run_is_rebuilt_by_the_kernels(run: Path) -> None:
    result = invoke(run)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("SAME  ")
    assert "rebuilt    all 6 steps, by the portable kernels (" in result.stdout
    assert result.stderr == ""
    result = invoke(run, "--spot", 1, "--spot-seed", "1", "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["verdict"], document["engine"]) == (0, "same", "kernels")
    assert document["executed"] == [[3, 4]]


def test_an_edited_run_is_different(run: Path) -> None:
    path = run / "golden" / "generations.jsonl"
    path.write_bytes(path.read_bytes() + b"\n")
    result = invoke(run)
    assert (result.exit_code, result.stdout.partition("  ")[0]) == (1, "DIFFERENT")


def test_a_run_of_another_base_asks_for_it_by_digest(run: Path, tmp_path: Path) -> None:
    from samebits.models.seeded import embedded_folder

    other = shutil.copytree(embedded_folder(), tmp_path / "base")
    data = bytearray((other / "model.safetensors").read_bytes())
    data[-4] ^= 1
    (other / "model.safetensors").write_bytes(data)
    result = invoke(run, "--base", other)
    digest = json.loads((run / "golden" / "recipe.json").read_bytes())["base"]["weights_sha256"]
    assert result.exit_code == 2
    assert f"weights_sha256 is {digest}" in result.stdout
    assert "--base" in result.stdout


def test_no_run_is_undecided(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        assert invoke(path).exit_code == 2


def test_a_seed_alone_is_refused(run: Path) -> None:
    result = invoke(run, "--spot-seed", "1")
    assert isinstance(result.exception, UsageError)


def test_stock_recipes_have_no_reference(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from samebits.verify.recorded import Recorded, read_recorded

    recorded = read_recorded(run)
    assert isinstance(recorded, Recorded)
    recorded.recipe["numerics"] = "stock"
    with pytest.raises(UsageError, match="portable recipe"):
        module._Rebuilder(None, "reference")(recorded)  # type: ignore[arg-type]


def test_the_seed_of_a_stock_recipe_is_read_and_no_other(run: Path) -> None:
    path = run / "golden" / "recipe.json"
    recipe = json.loads(path.read_bytes())
    assert module._stock_seed(run) is None
    for seed, expected in ((7, 7), (-1, None), (2**32, None), ("7", None), (True, None), (None, None)):
        path.write_text(json.dumps({**recipe, "numerics": "stock", "settings": {"seed": seed}}))
        assert module._stock_seed(run) == expected
    path.write_text(json.dumps({**recipe, "numerics": "stock", "settings": []}))
    assert module._stock_seed(run) is None
    path.write_text("{")
    assert module._stock_seed(run) is None


def test_torch_is_not_imported_for_a_portable_run(run: Path) -> None:
    program = f"""
import sys
from samebits.cli.main import run
code = run(["verify", {str(run)!r}, "--spot", "1"])
assert code == 0, code
assert not {{"torch", "transformers", "peft"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
