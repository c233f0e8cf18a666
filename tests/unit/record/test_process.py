"""What a process was given is recorded as it is, and no name or path of this machine is in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import samebits
from samebits.record.process import process_facts

SOURCE = str(Path(samebits.__file__).parents[1])
TELL = "import json; from samebits.record.process import process_facts; print(json.dumps(process_facts()))"
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


def facts_with(prelude: str = "", **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", f"{prelude}\n{TELL}"],
        env={**os.environ, "PYTHONPATH": SOURCE, **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def test_facts_are_json_without_a_path_or_a_name() -> None:
    text = json.dumps(process_facts())
    assert str(Path.cwd()) not in text
    assert str(Path.home()) not in text


@linux
@pytest.mark.parametrize(
    ("prelude", "environment", "name", "expected"),
    [
        ("import os; os.umask(0o027)", {}, "umask", "0027"),
        ("import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})", {}, "allowed_cores", None),
        ("", {"PYTHONMALLOC": "malloc"}, "python_allocator", "malloc"),
        ("", {"LD_PRELOAD": "libm.so.6"}, "preloaded", ["libm.so.6"]),
        ("import os; os.mkdir('d' * 50); os.chdir('d' * 50)", {}, "working_folder_bytes", None),
        ("", {"HOME": "/elsewhere"}, "home_sha256", None),
    ],
)
def test_a_change_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prelude: str, environment: dict[str, str], name: str, expected: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    plain, changed = facts_with(), facts_with(prelude, **environment)
    if name == "allowed_cores" and len(plain[name]) == 1:
        pytest.skip("this process has one core")
    assert plain[name] != changed[name]
    if expected is not None:
        assert changed[name] == expected
    # Nothing else than what was changed, but for what follows from it.
    assert {key for key in plain if plain[key] != changed[key]} - {name, "working_folder_sha256"} == set()


@linux
def test_filled_memory_is_seen_where_the_c_library_fills_it() -> None:
    assert facts_with()["fresh_memory"] is None
    if "glibc" not in os.confstr("CS_GNU_LIBC_VERSION"):  # type: ignore[operator]
        pytest.skip("another C library")
    # glibc fills what it hands out with the complement.
    assert facts_with(MALLOC_PERTURB_="165")["fresh_memory"] == f"{165 ^ 255:02x}"


@linux
def test_a_library_that_could_not_be_loaded_is_not_told() -> None:
    assert facts_with(LD_PRELOAD="libthere-is-none.so")["preloaded"] == []


def test_entries_listed_backwards_are_seen() -> None:
    from samebits.study.process import _BACKWARDS

    assert facts_with()["listing_sha256"] != facts_with(_BACKWARDS)["listing_sha256"]


@pytest.mark.parametrize(
    ("level", "personality", "expected"),
    [("2", "00000000", True), ("0", "00000000", False), ("2", "00040000", False), (None, "0", None), ("2", None, None)],
)
def test_address_randomisation_is_that_of_kernel_and_process(
    tmp_path: Path, level: str | None, personality: str | None, expected: bool | None
) -> None:
    for name, text in (("sys/kernel/randomize_va_space", level), ("self/personality", personality)):
        if text is not None:
            path = tmp_path / "proc" / name
            path.parent.mkdir(parents=True)
            path.write_text(f"{text}\n")
    assert process_facts(tmp_path)["address_randomisation"] is expected


def test_a_clock_that_is_off_is_seen_against_the_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "stat").write_text("cpu 1 2\nbtime 1000000\n")
    (tmp_path / "proc" / "uptime").write_text("500.25 1.0\n")
    for now_s, expected in ((1000500.0, 0), (1000500.0 + 3650 * 86400, 87600)):
        monkeypatch.setattr("time.time", lambda now_s=now_s: now_s)
        assert process_facts(tmp_path)["clock_offset_h"] == expected


def test_what_is_not_told_is_none(tmp_path: Path) -> None:
    facts = process_facts(tmp_path)
    assert [facts[name] for name in ("umask", "address_randomisation", "clock_offset_h")] == [None, None, None]
    assert facts["preloaded"] == []
