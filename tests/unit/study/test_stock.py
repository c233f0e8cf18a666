"""Changes of the machine's arithmetic fit the machine that they are made for."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from samebits.recipe.settings import kind_of
from samebits.study.stock import MACHINE, expected_facts, machine, missing_baseline, stock_pairs
from samebits.study.variation import Variation


def facts(isa: str = "AVX2", n_threads: int = 2, mkl: Any = ("something",)) -> dict[str, Any]:
    torch = {"mkl": dict.fromkeys(mkl) if mkl is not None else None}
    return {"execution": {"isa": isa, "n_threads": n_threads}, "env": {"torch": torch}}


def made(factor: str, recorded: dict[str, Any], *, full: bool = False) -> dict[str, Variation]:
    return {variation.name: variation for variation in machine(recorded, full=full)[factor]()}


def test_all_may_differ_and_are_held_against_the_golden_run_of_stock() -> None:
    for factor in MACHINE:
        for variation in made(factor, facts(), full=True).values():
            assert (variation.expectation, variation.against) == ("may differ", "stock")
            assert {kind_of(pair.partition("=")[0]).role for pair in variation.settings} <= {"execution"}


@pytest.mark.parametrize(
    ("isa", "expected"),
    [
        ("AVX512", ["stock-aten-default", "stock-aten-avx2"]),
        ("AVX2", ["stock-aten-default"]),
        ("NEON", ["stock-aten-default"]),
        ("DEFAULT", ["stock-aten-default"]),
    ],
)
def test_capabilities_are_those_below_the_golden_runs(isa: str, expected: list[str]) -> None:
    found = made("aten", facts(isa=isa))
    assert list(found) == expected
    assert (found["stock-aten-default"].unavailable is not None) == (isa == "DEFAULT")


@pytest.mark.parametrize(
    ("n_threads", "expected"),
    [(2, ["stock-threads-1", "stock-threads-3"]), (1, ["stock-threads-2", "stock-threads-3"])],
)
def test_the_thread_count_is_another_one(n_threads: int, expected: list[str]) -> None:
    assert list(made("threads", facts(n_threads=n_threads))) == expected


def test_without_mkl_its_knobs_are_unavailable() -> None:
    assert all(entry.unavailable for entry in made("mkl", facts(mkl=None)).values())
    assert not any(entry.unavailable for entry in made("mkl", facts()).values())


def test_a_changed_machine_is_repeated_against_itself(tmp_path: Path) -> None:
    found = stock_pairs([list(made(factor, facts(mkl=None)).values()) for factor in MACHINE], tmp_path)
    assert [(entry.name, entry.against) for entry in found[1:]] == [
        ("stock-threads-1-again", "stock-threads-1"),
        ("stock-aten-default-again", "stock-aten-default"),
    ]


@pytest.mark.parametrize(
    ("isas", "expected"), [(["baseline", "avx2"], "avx2"), (["baseline", "avx2", "avx512", "amx"], "avx512"),
                           (["neon"], "default"), (None, "default")],
)  # fmt: skip
def test_before_the_first_stock_run_its_facts_are_guessed(isas: Any, expected: str) -> None:
    guessed = expected_facts({"execution": {"n_threads": 2}, "env": {"numerics": {"runnable_isas": isas}}})
    assert guessed["execution"] == {"n_threads": 2, "isa": expected}
    assert not any(entry.unavailable for entry in made("mkl", guessed).values())


def test_a_missing_library_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else object())
    assert missing_baseline() == "no torch here: run `pip install 'samebits[torch]'`"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert missing_baseline() is None
