"""Surroundings are changed for each profile so that nothing else changes with them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from samebits.study.surroundings import COMMA_LOCALES, SURROUNDINGS, all_at_once, surroundings
from samebits.study.variation import Variation


def made(factor: str, scratch: Path, *, profile: str = "portable-f32", full: bool = False) -> list[Variation]:
    return surroundings(profile, scratch, full=full)[factor]()


def test_a_locale_with_a_decimal_comma_is_found_or_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    [locale] = made("locale", tmp_path)
    if "comma" not in locale.changed:
        pytest.skip("this machine has no locale with a decimal comma and cannot make one")
    assert locale.environment["LC_ALL"] in COMMA_LOCALES
    code = "import locale; locale.setlocale(locale.LC_ALL, ''); print(locale.localeconv()['decimal_point'])"
    environment = {**os.environ, **locale.environment}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == ",\n"
    monkeypatch.setenv("PATH", "")
    again = made("locale", tmp_path, profile="stock")[0]
    assert again.environment["LC_ALL"] == locale.environment["LC_ALL"]


def test_without_such_a_locale_another_one_is_taken_aloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samebits.study.surroundings.COMMA_LOCALES", ("xx_XX.UTF-8",))
    monkeypatch.setenv("PATH", "")
    [found] = made("locale", tmp_path)
    assert found.environment == {"LC_ALL": "C"}
    assert "no locale with a decimal comma" in found.changed


def test_a_stock_run_gets_another_hash_seed_inside_another_program_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    [hash_seed] = made("hash-seed", tmp_path, profile="stock")
    assert (hash_seed.name, hash_seed.prelude) == ("stock-hash-seed-12345", "pass")
    assert made("hash-seed", tmp_path)[0].prelude is None


def test_each_has_facts_that_show_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    for factor in SURROUNDINGS:
        for variation in made(factor, tmp_path, full=True):
            assert variation.facts
            assert (variation.expectation, variation.settings) == ("same", ())


def test_all_at_once_changes_every_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    together = all_at_once("stock", tmp_path)
    assert {"LC_ALL", "TZ", "PYTHONHASHSEED"} <= set(together.environment)
    assert together.folder
    assert (together.name, together.against) == ("stock-surroundings-at-once", "stock")
