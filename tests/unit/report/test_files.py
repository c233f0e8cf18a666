"""Three files, all or an error, the same bytes when made again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from samebits.canonical.json_bytes import dump_json
from samebits.errors import MissingExtraError, StorageError
from samebits.report.analysis import analyze_folder
from samebits.report.files import REPORT_FILES, write_report


def test_the_report_can_be_made_again_byte_for_byte_beside_its_runs(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    make_run("b", weight=0.25)
    out = tmp_path / "runs"
    first = [path.read_bytes() for path in write_report(analyze_folder(out), out)]
    second = [path.read_bytes() for path in write_report(analyze_folder(out), out)]
    assert first == second
    assert sorted(path.name for path in out.iterdir() if path.is_file()) == sorted(REPORT_FILES)


def test_the_json_report_is_canonical(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    path = write_report(analyze_folder(tmp_path / "runs"), tmp_path / "new" / "out")[0]
    assert path.read_bytes() == dump_json(json.loads(path.read_bytes()))


def test_nothing_is_written_without_the_extra(make_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run("a")
    document = analyze_folder(tmp_path / "runs")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError):
        write_report(document, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_folders_place_is_refused(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    (tmp_path / "out").write_text("")
    with pytest.raises(StorageError, match="folder must be writable"):
        write_report(analyze_folder(tmp_path / "runs"), tmp_path / "out")
