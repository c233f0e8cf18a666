from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from samebits.cli.compare import command


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    for name, data in {"golden": b"a\n", "same": b"a\n", "other": b"b\n"}.items():
        (tmp_path / name).write_bytes(data)
    return {name: str(tmp_path / name) for name in ("golden", "same", "other", "none")}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


@pytest.mark.parametrize(
    ("candidates", "code", "word"),
    [
        (["same"], 0, "SAME"),
        (["other"], 1, "DIFFERENT"),
        (["none"], 2, "UNDECIDED"),
        (["same", "none"], 2, "UNDECIDED"),
        (["none", "other", "same"], 1, "DIFFERENT"),
    ],
)
def test_exit_codes(files: dict[str, str], candidates: list[str], code: int, word: str) -> None:
    arguments = [files["golden"], *(files[name] for name in candidates)]
    result = run(*arguments)
    assert result.exit_code == code
    assert result.stdout.startswith(f"{word}  ")
    result = run("--json", *arguments)
    assert result.exit_code == code
    document = json.loads(result.stdout)
    assert document["verdict"] == word.lower()
    assert [comparison["candidate"] for comparison in document["comparisons"]] == arguments[1:]


def test_json_holds_digests_whole(files: dict[str, str]) -> None:
    document = json.loads(run("--json", files["golden"], files["other"]).stdout)
    assert len(document["comparisons"][0]["difference"]["facts"]["golden_sha256"]) == 64


def test_a_candidate_must_be_named(files: dict[str, str]) -> None:
    assert run(files["golden"]).exit_code == 2


def test_a_terminal_of_another_encoding_gets_escapes(tmp_path: Path) -> None:
    (tmp_path / "golden").write_text("é\n", encoding="utf-8")
    (tmp_path / "other").write_text("è\n", encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "samebits", "compare", str(tmp_path / "golden"), str(tmp_path / "other")],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
    )
    assert result.returncode == 1
    assert rb"golden \xe9" in result.stdout
    assert result.stderr == b""
