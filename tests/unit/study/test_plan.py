"""Both sides of a study: unique names, known factors, and more of them in a full one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from samebits.study.plan import FACTORS, has_baseline, portable_variations, stock_variations
from samebits.study.variation import UNCHANGED, repeats

FACTS: dict[str, Any] = {
    "execution": {"isa": "avx2", "n_threads": 2},
    "env": {"numerics": {"runnable_isas": ["baseline", "avx2"]}, "torch": {"mkl": {}}},
}


@pytest.fixture(autouse=True)
def without_localedef(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the seconds that making a locale takes."""
    monkeypatch.setenv("PATH", "")


@pytest.mark.parametrize("full", [False, True])
def test_names_are_unique_and_factors_known(tmp_path: Path, full: bool) -> None:
    table = [*repeats("portable-f32", 5), *portable_variations(FACTS, tmp_path, full=full)]
    table += [*repeats("stock", 2), *stock_variations(FACTS, tmp_path, full=full)]
    assert len({entry.name for entry in table}) == len(table)
    assert {entry.factor for entry in table} <= {UNCHANGED, *FACTORS}


@pytest.mark.parametrize("make", [portable_variations, stock_variations])
def test_full_has_more_of_the_same_and_pairs(tmp_path: Path, make: Any) -> None:
    plain = {entry.name for entry in make(FACTS, tmp_path)}
    full = {entry.name for entry in make(FACTS, tmp_path, full=True)}
    assert plain < full
    assert any(name.endswith("surroundings-at-once") for name in full - plain)


def test_portable_runs_must_not_change_whatever_changes(tmp_path: Path) -> None:
    found = portable_variations(FACTS, tmp_path, full=True)
    assert {entry.expectation for entry in found} == {"same"}
    assert {entry.factor for entry in found} == set(FACTORS) - {"aten", "mkl"}


def test_stock_surroundings_are_varied_in_a_full_study_only(tmp_path: Path) -> None:
    plain = {entry.factor: entry.expectation for entry in stock_variations(FACTS, tmp_path)}
    assert plain == dict.fromkeys(("threads", "aten", "mkl"), "may differ")
    full = {entry.factor for entry in stock_variations(FACTS, tmp_path, full=True)}
    assert {"hash-seed", "locale", "time-zone", "folder"} <= full


def test_one_factor_alone_is_varied_on_both_sides(tmp_path: Path) -> None:
    assert {entry.factor for entry in portable_variations(FACTS, tmp_path, only=("threads",))} == {"threads"}
    assert {entry.factor for entry in stock_variations(FACTS, tmp_path, only=("threads",))} == {"threads"}


@pytest.mark.parametrize(
    ("only", "full", "expected"),
    [((), False, True), (("folder",), False, False), (("folder",), True, True), (("isa",), True, False),
     (("isa", "mkl"), False, True)],
)  # fmt: skip
def test_stock_is_run_where_a_factor_of_it_is_asked_for(only: tuple[str, ...], full: bool, expected: bool) -> None:
    assert has_baseline(full=full, only=only) is expected
