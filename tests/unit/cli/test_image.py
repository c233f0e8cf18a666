from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.unit.images.conftest import PLAIN, File, layer_of, write_layout

from samebits.cli.image import N_SHOWN, command
from samebits.errors import ImageError


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Path]:
    late = [replace(file, mtime=file.mtime + 1) for file in PLAIN]
    many = [*PLAIN, *(File(f"app/{number}") for number in range(N_SHOWN + 5))]
    made = {"golden": PLAIN, "same": PLAIN, "late": late, "many": many}
    return {name: write_layout(tmp_path / name, [layer_of(files)]) for name, files in made.items()}


def test_the_same_exits_0_with_the_digest_last(images: dict[str, Path]) -> None:
    result = run("check", images["golden"], images["same"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("SAME  ")
    assert lines[-1].startswith("sha256:")
    assert len(lines[-1]) == len("sha256:") + 64


def test_a_difference_exits_1_and_names_file_and_cause(images: dict[str, Path]) -> None:
    result = run("check", images["golden"], images["late"])
    assert result.exit_code == 1
    assert result.stdout.startswith("DIFFERENT  ")
    assert "clock  layer 1  app/a.py" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("sha256:")


def test_many_differences_are_cut_and_all_of_them_can_be_had(images: dict[str, Path]) -> None:
    assert "and 5 more" in run("check", images["golden"], images["many"]).stdout
    assert "more" not in run("check", "--all", images["golden"], images["many"]).stdout


def test_one_image_alone_is_checked_against_its_own_digests(images: dict[str, Path]) -> None:
    assert run("check", images["golden"]).exit_code == 0
    blob = max((images["golden"] / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(b"x" + blob.read_bytes()[1:])
    result = run("check", images["golden"])
    assert isinstance(result.exception, ImageError)
    assert result.exception.exit_code == 2


def test_json_holds_findings_and_labels(images: dict[str, Path]) -> None:
    document = json.loads(run("check", "--json", images["golden"], images["late"]).stdout)
    assert document["verdict"] == "different"
    assert {finding["cause"] for finding in document["findings"]} == {"clock"}
    assert document["golden"]["labels"] == {"samebits.lock": "image"}


def test_a_base_without_a_digest_is_refused(tmp_path: Path) -> None:
    result = run("build", "--base", "python:3.11-slim")
    assert result.exit_code == 2
    assert "by its digest" in result.output


def test_no_engine_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run("build")
    assert isinstance(result.exception, ImageError)
    assert "make container-tools" in str(result.exception)
