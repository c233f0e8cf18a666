"""What a child is given: each change is applied where the host can, and told where it cannot."""

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
from samebits.study import process
from samebits.study.variation import Variation

FACTS = {"execution": {"n_threads": 2}, "training": {"process": {"allowed_cores": [0, 3]}}}


def made(factor: str, scratch: Path, facts: dict[str, Any] | None = None) -> list[Variation]:
    return process.process(facts or FACTS, scratch)[factor]()


def test_each_factor_has_variations_that_are_seen_by_recorded_facts(tmp_path: Path) -> None:
    makers = process.process(FACTS, tmp_path)
    assert tuple(makers) == process.PROCESS
    for factor, make in makers.items():
        for variation in make():
            assert variation.factor == factor
            assert variation.expectation == "same"
            for name in variation.facts:
                assert name == "training.host" or name.removeprefix("training.process.") in process_facts()


def test_a_library_is_preloaded_beside_what_is_preloaded_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(process, "FAKETIME_FOLDERS", (str(tmp_path),))
    monkeypatch.setattr(process, "refusal", lambda changes: None)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: "libtc.so.4" if name == "tcmalloc" else None)
    monkeypatch.setenv("LD_PRELOAD", "libmine.so")
    assert [one.unavailable for one in made("clock", tmp_path)] == ["no libfaketime here"] * 2
    folder = tmp_path / "riscv64-linux-gnu" / "faketime"
    folder.mkdir(parents=True)
    (folder / "libfaketime.so.1").touch()
    clock, past = made("clock", tmp_path)
    assert (clock.unavailable, clock.environment["FAKETIME"], past.environment["FAKETIME"]) == (
        None,
        "+3650d",
        "-3650d",
    )
    assert clock.environment["LD_PRELOAD"] == f"{folder / 'libfaketime.so.1'}:libmine.so"
    allocator = made("allocator", tmp_path)[-1]
    assert allocator.environment["LD_PRELOAD"] == "libtc.so.4:libmine.so"
    assert allocator.unavailable is None


def test_without_a_library_its_factor_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "FAKETIME_FOLDERS", (str(tmp_path),))
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    assert made("clock", tmp_path)[0].unavailable == "no libfaketime here"
    assert str(made("allocator", tmp_path)[-1].unavailable).startswith("none of jemalloc, ")


def test_without_disorderfs_its_row_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [one.unavailable for one in made("file-order", tmp_path)] == [None, "no disorderfs here"]


@pytest.mark.parametrize("cores", [None, [5]])
def test_one_core_cannot_become_fewer(tmp_path: Path, cores: list[int] | None) -> None:
    facts = {"execution": {"n_threads": 2}, "training": {"process": {"allowed_cores": cores}}}
    [found] = made("affinity", tmp_path, facts)
    assert found.unavailable
    assert made("affinity", tmp_path)[0].changes == ("core=3",)


def test_another_system_than_linux_refuses_what_only_linux_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    refused = {
        one.name: one.unavailable
        for factor in process.PROCESS
        for one in made(factor, tmp_path)
        if one.unavailable == "only Linux can"
    }
    assert set(refused) >= {"user", "host-name", "address-randomisation", "allocator-filled"}


def test_a_refusal_of_the_system_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(process, "refusal", lambda changes: f"no {changes[0]}")
    assert made("user", tmp_path)[0].unavailable == "no user=54321"


def test_folders_are_listed_backwards_by_everything_that_lists_them(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
    code = (
        "import json, os, sys; from pathlib import Path; here = Path(sys.argv[1])\n"
        "names = [[p.name for p in found] for found in (here.iterdir(), here.glob('*'))]\n"
        "print(json.dumps([*names, next(os.walk(here))[1], os.listdir(here)]))"
    )
    [prelude] = [one.prelude for one in made("file-order", tmp_path) if one.prelude]
    plain, changed = (
        subprocess.run([sys.executable, "-c", text, str(tmp_path)], capture_output=True, text=True, check=True).stdout
        for text in (code, f"{prelude}\n{code}")
    )
    assert json.loads(changed) == [names[::-1] for names in json.loads(plain)]


CLOCK = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *now) {
  int failed = (int)syscall(SYS_clock_gettime, id, now);
  if (!failed && id == CLOCK_REALTIME) now->tv_sec += 315360000;
  return failed;
}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux preloads so")
def test_a_preloaded_clock_is_seen(tmp_path: Path) -> None:
    pytest.importorskip("ziglang")
    (tmp_path / "clock.c").write_text(CLOCK)
    library = tmp_path / "libfaketime.so.1"
    compiler = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        "-shared",
        "-fPIC",
        "-o",
        str(library),
        str(tmp_path / "clock.c"),
    ]
    subprocess.run(compiler, check=True, env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(tmp_path / "cache")})
    code = "from samebits.record.process import process_facts as f; print(f()['clock_offset_h'], f()['preloaded'])"
    environment = {"PYTHONPATH": str(Path(samebits.__file__).parents[1]), "LD_PRELOAD": str(library)}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "87600 ['libfaketime.so.1']\n"
