"""The fingerprint (R-50, R-53): quick, whole without /proc, without secrets."""

import copy
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from samebits.canonical.json_bytes import dump_json
from samebits.errors import RecordError
from samebits.record import fingerprint as module
from samebits.record.fingerprint import compare_fingerprints, fingerprint

GROUPS = {
    "record_version", "cpu", "cgroup", "memory_bytes", "container", "system", "locale", "time_zone", "python",
    "distributions", "variables", "torch",
}  # fmt: skip


def test_it_is_json_with_every_group_and_quick() -> None:
    started_s = time.perf_counter()
    document = fingerprint()
    assert time.perf_counter() - started_s < 2
    assert document.keys() == GROUPS
    assert document["torch"] is None
    assert document["python"]["version"] == platform.python_version()
    assert dump_json(document)


def test_it_is_the_same_twice() -> None:
    assert compare_fingerprints(fingerprint(), fingerprint()) == []


PLANTED = {
    "HF_TOKEN": "hf_planted1",
    "AWS_SECRET_ACCESS_KEY": "planted2",
    "HTTPS_PROXY": "ftp://ann:planted3@proxy:3128",
    "HF_ENDPOINT": "ftp://ann:planted4@hub/x?key=planted5",
    "TORCH_API_TOKEN": "planted6",
    "OMP_PLANTED": "ftp://planted7@x",
}


def test_no_planted_secret_and_no_name_of_the_machine_appears(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    text = dump_json(fingerprint({"torch": {"build": ["from ftp://ann:planted8@x/y?z=planted9"]}})).decode()
    assert "planted" not in text
    # The two that are on the list are there, without their secrets.
    assert '"HF_ENDPOINT":"ftp://***@hub/x?***"' in text
    assert '"OMP_PLANTED":"ftp://***@x"' in text
    assert str(Path.home()) + "/" not in text


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell by files")
def test_without_proc_and_sys_the_facts_are_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("container", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    document = fingerprint(root=tmp_path)
    assert document.keys() == GROUPS
    assert {document["cpu"][name] for name in ("vendor", "flags", "caches", "microcode", "n_cores_physical")} == {None}
    assert set(document["cgroup"].values()) == {None}
    assert document["container"] == {"detected": False, "evidence": []}
    assert document["time_zone"]["zone"] is None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell by files")
def test_a_container_and_a_zone_are_found_by_their_traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("container", "podman")
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/kubepods/x\n")
    (tmp_path / ".dockerenv").touch()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "localtime").symlink_to("/usr/share/zoneinfo/Asia/Kathmandu")
    document = fingerprint(root=tmp_path)
    evidence = ["/.dockerenv", "kubepods in /proc/*/cgroup", "the variable `container`"]
    assert document["container"] == {"detected": True, "evidence": evidence}
    assert document["time_zone"]["zone"] == "Asia/Kathmandu"


def test_a_system_that_tells_nothing_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> Any:
        raise OSError

    monkeypatch.setattr(platform, "freedesktop_os_release", refused)
    monkeypatch.setattr(platform, "libc_ver", lambda *_: ("", ""))
    monkeypatch.setattr(os, "sysconf", refused)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(module.locale, "LC_MESSAGES", raising=False)
    document = fingerprint()
    assert document["system"]["distribution"] is document["system"]["libc"] is document["memory_bytes"] is None
    assert document["cpu"]["cores_allowed"] is document["cpu"]["n_cores_allowed"] is None
    assert document["locale"]["categories"]["LC_MESSAGES"] is None


def test_facts_of_other_parts_are_taken_over_under_names_of_their_own() -> None:
    assert fingerprint({"torch": {"version": "2"}, "images": None})["torch"] == {"version": "2"}
    with pytest.raises(RecordError, match="`cpu`"):
        fingerprint({"cpu": {}})


def test_differences_are_rows_side_by_side() -> None:
    a = {
        "cpu": {"flags": ["avx2", "sse"], "name": "x"},
        "distributions": [
            {"name": "numpy", "version": "1", "editable": False},
            {"name": "peft", "version": "1", "editable": False},
        ],
        "variables": {"TZ": "UTC"},
        "caches": [1, 2],
    }
    b = copy.deepcopy(a)
    assert compare_fingerprints(a, b) == []
    b["cpu"]["flags"] = ["avx512f", "sse"]  # type: ignore[call-overload, index]
    b["distributions"][0]["version"] = "2"  # type: ignore[index]
    b["distributions"][1]["name"] = "other"  # type: ignore[index]
    b["variables"] = {"MKL_CBWR": "AVX"}
    b["caches"] = [2, 1]
    assert compare_fingerprints(a, b) == [
        ("caches", [1, 2], [2, 1]),
        ("cpu.flags", ["avx2"], ["avx512f"]),
        ("distributions.numpy.version", "1", "2"),
        ("distributions.other.editable", None, False),
        ("distributions.other.version", None, "1"),
        ("distributions.peft.editable", False, None),
        ("distributions.peft.version", "1", None),
        ("variables.MKL_CBWR", None, "AVX"),
        ("variables.TZ", "UTC", None),
    ]


@pytest.mark.parametrize(
    ("one", "other", "row"),
    [
        (["a", "b"], ["b", "a"], (["a", "b"], ["b", "a"])),
        (["a"], [], (["a"], [])),
        (["a"], None, (["a"], None)),
        ([], None, ([], None)),
        (None, "x", (None, "x")),
    ],
)
def test_lists_are_told_whole_where_their_texts_are_the_same(one: Any, other: Any, row: tuple[Any, Any]) -> None:
    assert compare_fingerprints({"f": one}, {"f": other}) == [("f", *row)]
