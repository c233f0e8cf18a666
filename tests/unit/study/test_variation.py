"""The table of variations fits the machine it is made for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from samebits.recipe.settings import kind_of
from samebits.study.variation import COMMA_LOCALES, FACTORS, GOLDEN, fact, repeats, variations


@pytest.fixture(autouse=True)
def without_localedef(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the seconds that making a locale takes; one test below makes it."""
    monkeypatch.setenv("PATH", "")


def machine(isa: str = "AVX2", n_threads: int = 2, mkl: Any = ("something",)) -> dict[str, Any]:
    torch = {"mkl": dict.fromkeys(mkl) if mkl is not None else None}
    return {"execution": {"isa": isa, "n_threads": n_threads}, "env": {"torch": torch}}


def by_factor(facts: dict[str, Any], scratch: Path, factor: str, *, full: bool = False) -> dict[str, Any]:
    return {entry.name: entry for entry in variations(facts, scratch, full=full, only=(factor,))}


def test_a_locale_with_a_decimal_comma_is_found_or_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    [locale] = by_factor(machine(), tmp_path, "locale").values()
    if "comma" not in locale.changed:
        pytest.skip("this machine has no locale with a decimal comma and cannot make one")
    assert locale.environment["LC_ALL"] in COMMA_LOCALES
    code = "import locale; locale.setlocale(locale.LC_ALL, ''); print(locale.localeconv()['decimal_point'])"
    environment = {**os.environ, **locale.environment}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == ",\n"


def test_without_such_a_locale_another_one_is_taken_aloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samebits.study.variation.COMMA_LOCALES", ("xx_XX.UTF-8",))
    [found] = by_factor(machine(), tmp_path, "locale").values()
    assert found.environment["LC_ALL"] == "C"
    assert "no locale with a decimal comma" in found.changed


def test_the_first_run_is_golden_and_the_rest_repeat_it() -> None:
    assert [entry.name for entry in repeats(3)] == [GOLDEN, "repeat-1", "repeat-2"]


@pytest.mark.parametrize("full", [False, True])
def test_names_are_unique_and_factors_known(tmp_path: Path, full: bool) -> None:
    table = [*repeats(5), *variations(machine(), tmp_path, full=full)]
    assert len({entry.name for entry in table}) == len(table)
    assert {entry.factor for entry in table} <= {"repeat", *FACTORS}


def test_full_has_more_of_the_same_factors_and_pairs(tmp_path: Path) -> None:
    plain = {entry.name for entry in variations(machine(), tmp_path, full=False)}
    full = {entry.name for entry in variations(machine(), tmp_path, full=True)}
    assert plain < full
    assert {"threads-1-again", "aten-default-again", "surroundings-at-once"} <= full


def test_machine_factors_may_differ_and_surroundings_must_not(tmp_path: Path) -> None:
    expected = {entry.factor: entry.expectation for entry in variations(machine(), tmp_path, full=False)}
    assert expected == {
        "hash-seed": "same", "locale": "same", "time-zone": "same", "folder": "same",
        "threads": "may differ", "aten": "may differ", "mkl": "may differ",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("isa", "expected"),
    [
        ("AVX512", ["aten-default", "aten-avx2"]),
        ("AVX2", ["aten-default"]),
        ("NEON", ["aten-default"]),
        ("DEFAULT", ["aten-default"]),
    ],
)
def test_capabilities_are_those_below_the_golden_runs(tmp_path: Path, isa: str, expected: list[str]) -> None:
    found = by_factor(machine(isa=isa), tmp_path, "aten")
    assert list(found) == expected
    assert (found["aten-default"].unavailable is not None) == (isa == "DEFAULT")


@pytest.mark.parametrize(("n_threads", "expected"), [(2, "threads-1"), (1, "threads-2"), (8, "threads-1")])
def test_the_thread_count_is_another_one(tmp_path: Path, n_threads: int, expected: str) -> None:
    assert list(by_factor(machine(n_threads=n_threads), tmp_path, "threads")) == [expected]


def test_without_mkl_its_knobs_are_unavailable(tmp_path: Path) -> None:
    assert all(entry.unavailable for entry in by_factor(machine(mkl=None), tmp_path, "mkl").values())
    assert not any(entry.unavailable for entry in by_factor(machine(), tmp_path, "mkl").values())


def test_settings_that_a_variation_changes_do_not_belong_to_the_recipe(tmp_path: Path) -> None:
    pairs = [pair for entry in variations(machine(), tmp_path, full=True) for pair in entry.settings]
    assert pairs
    assert {kind_of(pair.partition("=")[0]).role for pair in pairs} == {"execution"}


def test_a_fact_that_was_not_recorded_is_none() -> None:
    assert fact({"execution": {"isa": "AVX2"}}, "execution.isa") == "AVX2"
    assert fact({"execution": {}}, "execution.isa") is None
    assert fact({"execution": "text"}, "execution.isa.deeper") is None
