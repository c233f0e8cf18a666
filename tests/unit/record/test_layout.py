"""Where things lie, and which names are refused (R-01 to R-04)."""

from pathlib import Path

import pytest

from samebits.errors import RecordError
from samebits.record import layout
from samebits.record.layout import RunFolder, check_relative_path, size_limit_bytes


def test_the_parts_of_a_run_folder() -> None:
    run = RunFolder(Path("x"))
    parts = (run.golden, run.observed, run.checkpoints, run.summary)
    assert [path.as_posix() for path in parts] == ["x/golden", "x/observed", "x/checkpoints", "x/artifact_summary.json"]


def test_a_run_is_complete_from_its_summary_on(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.golden.mkdir()
    assert not run.is_complete()
    run.summary.mkdir()
    assert not run.is_complete()
    run.summary.rmdir()
    run.summary.write_bytes(b"")
    assert run.is_complete()


@pytest.mark.parametrize(
    ("name", "limit_bytes"),
    [("a.json", 16 * 2**20), ("a.jsonl", 256 * 2**20), ("a.safetensors", 64 * 2**30), ("json", 64 * 2**30)],
)
def test_size_limits_of_r04(name: str, limit_bytes: int) -> None:
    assert size_limit_bytes(name) == limit_bytes


@pytest.mark.parametrize(
    "path", ["a", "golden/x.json", "a/b/c/d/e/f/g/h", ".partial-x", "a-_.9", "x" * 128, "com", "nul2"]
)
def test_a_plain_path_comes_back(path: str) -> None:
    assert check_relative_path(path, where="here") == path


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "empty segment"),
        ("/etc/passwd", "empty segment"),
        ("a//b", "empty segment"),
        ("a/", "empty segment"),
        (".", "`..`"),
        ("golden/../../x", "`..`"),
        ("a\\b", "other character"),
        ("C:x", "other character"),
        ("\\\\host\\x", "other character"),
        ("a\nb", "other character"),
        ("a\n", "other character"),
        ("a\0b", "other character"),
        ("a b", "other character"),
        ("\u00fc", "other character"),
        ("\u0663", "other character"),
        ("a:stream", "other character"),
        ("~", "other character"),
        ("a.", "dot at the end"),
        ("a../b", "dot at the end"),
        ("...", "dot at the end"),
        ("nul", "device"),
        ("golden/CON.json", "device"),
        ("aux.tar.gz/x", "device"),
        ("Com9", "device"),
        ("lpt1", "device"),
        ("x" * 129, "128 characters"),
        ("a/b/c/d/e/f/g/h/i", "8 segments"),
    ],
)
def test_any_other_path_is_refused(path: str, said: str) -> None:
    with pytest.raises(RecordError, match=said) as raised:
        check_relative_path(path, where="the place")
    assert raised.value.where == "the place"
    assert "\n" not in str(raised.value)


def test_the_lists_of_files_are_sorted() -> None:
    assert list(layout.GOLDEN_FILES) == sorted(set(layout.GOLDEN_FILES))
    assert list(layout.OBSERVED_FILES) == sorted(set(layout.OBSERVED_FILES))
