"""The golden digest and the summary (R-20 to R-23)."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from samebits.errors import RecordError
from samebits.record.layout import RunFolder
from samebits.record.manifest import (
    check_summary,
    checked_entries,
    describe_changes,
    golden_checksums,
    golden_digest,
    read_summary,
    require_keys,
    write_summary,
)


def _entry(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def test_the_digest_is_that_of_the_listing_by_bytes() -> None:
    checksums = {f"golden/{name}": _entry(name.encode()) for name in ("b", "B", "a.json", "a/x", "a-x")}
    order = ["golden/B", "golden/a-x", "golden/a.json", "golden/a/x", "golden/b"]
    listing = "".join(f"{checksums[path]['sha256']}  {path}\n" for path in order)
    assert golden_digest(checksums) == hashlib.sha256(listing.encode()).hexdigest()


def test_the_summary_says_what_lies_there(run: RunFolder) -> None:
    (run.path / "observed").mkdir()
    (run.path / "observed" / "env.json").write_bytes(b"{}\n")
    summary = read_summary(run)
    assert summary.artifact_checksums == golden_checksums(run)
    assert all(path.startswith("golden/") for path in summary.artifact_checksums)
    assert summary.golden_digest == golden_digest(golden_checksums(run))
    assert check_summary(run) == []


def test_nothing_golden_is_no_finished_run(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="must have golden files"):
        write_summary(RunFolder(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_missing_or_unfinished_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="folder must be there"):
        read_summary(RunFolder(tmp_path / "absent"))
    with pytest.raises(RecordError, match="resume the run"):
        read_summary(RunFolder(tmp_path))


def test_each_change_is_told_as_what_it_is() -> None:
    expected = {
        name: _entry(name.encode() * 3) for name in ("same", "gone", "moved", "cut", "longer", "flip", "x", "y")
    }
    actual = {
        "same": expected["same"],
        "elsewhere": expected["moved"],
        "cut": _entry(b"cu"),
        "longer": _entry(b"longerlongerlonger."),
        "flip": _entry(b"flipflipflis"),
        "x": expected["y"],
        "y": expected["x"],
        "new": _entry(b"new"),
    }
    lines = describe_changes(expected, actual)
    assert [line.partition(": ")[::2] for line in lines][:2] == [
        ("cut", "truncated, 2 of 9 bytes are left"),
        (
            "flip",
            f"changed after recording, sha256 {actual['flip']['sha256'][:12]} for {expected['flip']['sha256'][:12]}",
        ),
    ]
    assert lines[2:] == [
        "gone: missing",
        "longer: grown after recording, 19 bytes for 18",
        "moved: renamed to elsewhere",
        "new: extra file, not in the summary",
        "x: holds the content of y",
        "y: holds the content of x",
    ]
    assert describe_changes(expected, expected) == []


def test_two_files_of_one_content_are_renamed_once() -> None:
    expected = {"a": _entry(b"1"), "b": _entry(b"1")}
    assert describe_changes(expected, {"c": _entry(b"1")}) == ["a: renamed to c", "b: missing"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("golden_digest"), "`golden_digest` missing"),
        (lambda d: d.update(more=1), "`more` unknown"),
        (lambda d: d.update(golden_digest="0" * 64), "of the listed files"),
        (lambda d: d.update(golden_digest=None), "of the listed files"),
        (lambda d: d.update(artifact_checksums={}), "one entry or more"),
        (lambda d: d.update(artifact_checksums=[]), "one entry or more"),
        (lambda d: d["artifact_checksums"].update({"observed/x": _entry(b"")}), "golden files only"),
        (lambda d: d["artifact_checksums"].update({"golden/../x": _entry(b"")}), "`..`"),
        (lambda d: d["artifact_checksums"].update({"golden/x": 1}), "must be an object"),
        (lambda d: d["artifact_checksums"].update({"golden/x": {"sha256": "0" * 64}}), "`bytes` missing"),
        (lambda d: d["artifact_checksums"].update({"golden/x": {"sha256": "0", "bytes": 1}}), "64 lower-case"),
        (lambda d: d["artifact_checksums"].update({"golden/x": {"sha256": "0" * 64, "bytes": True}}), "whole number"),
        (lambda d: d["artifact_checksums"].update({"golden/x": {"sha256": "0" * 64, "bytes": -1}}), "whole number"),
    ],
)
def test_a_summary_that_is_none_is_refused(run: RunFolder, change: Any, said: str) -> None:
    document = json.loads(run.summary.read_bytes())
    change(document)
    run.summary.write_text(json.dumps(document))
    with pytest.raises(RecordError, match=said):
        read_summary(run)


def test_require_keys_names_the_odd_one() -> None:
    require_keys({"a": 1}, {"a"}, "here")
    with pytest.raises(RecordError, match="`b` missing"):
        require_keys({"a": 1}, {"a", "b"}, "here")
    with pytest.raises(RecordError, match="`a` unknown"):
        require_keys({"a": 1}, set(), "here")


def test_checked_entries_gives_back_what_is_plain() -> None:
    entries = {"a": _entry(b"1"), "b/c": _entry(b"")}
    assert checked_entries(entries, "here") == entries
