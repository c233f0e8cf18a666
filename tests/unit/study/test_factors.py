"""The catalogue: every factor can be made for its profiles, under one name each, and belongs to no recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from samebits.recipe.reader import read_settings
from samebits.recipe.settings import kind_of
from samebits.record.process import process_facts
from samebits.study.factors import CATALOGUE, NAMES, NOT_STOCK, here, variations
from samebits.study.plan import FACTORS
from samebits.study.variation import PAIRS

FACTS: dict[str, Any] = {
    "execution": {
        "isa": "avx2", "n_threads": 2, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1,
    },
    "env": {"numerics": {"runnable_isas": ["baseline", "avx2"]}, "torch": {"mkl": {}}},
    "training": {"process": process_facts()},
    "n_steps": 6,
}  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make no locale, and try nothing on the system."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("samebits.study.process.refusal", lambda changes: None)


@pytest.mark.parametrize(("profile", "missing"), [("portable-f32", ()), ("stock", NOT_STOCK)])
@pytest.mark.parametrize("full", [False, True])
def test_every_factor_has_variations_of_its_own(
    tmp_path: Path, profile: str, missing: tuple[str, ...], full: bool
) -> None:
    made = variations(profile, FACTS, tmp_path, full=full)
    assert tuple(made) == tuple(name for name in NAMES if name not in missing)
    names = [one.name for found in made.values() for one in found]
    assert len(set(names)) == len(names)
    for factor, found in made.items():
        assert found
        for one in found:
            assert (one.factor, one.profile) == (factor, profile)
            assert one.facts or one.unavailable
            keys = {pair.partition("=")[0] for pair in one.settings}
            assert {kind_of(key).role_under(profile) for key in keys} <= {"execution"}


def test_full_has_more_of_the_same(tmp_path: Path) -> None:
    plain, full = (
        {one.name for found in variations("portable-f32", FACTS, tmp_path, full=full).values() for one in found}
        for full in (False, True)
    )
    assert plain < full
    assert {"folder-long", "hash-seed-0", "threads-16", "resume-2", "resume-6"} <= full - plain


def test_a_resumed_run_changes_nothing_else(tmp_path: Path) -> None:
    [found] = variations("portable-f32", FACTS, tmp_path, only=("resume",))["resume"]
    assert not any(pair.startswith("threads=") for pair in found.settings)


def test_everything_that_a_study_varies_is_in_the_catalogue() -> None:
    assert set(FACTORS) - {PAIRS} <= set(NAMES)
    assert all(factor.what and factor.how and factor.seen_by for factor in CATALOGUE)


def test_what_this_machine_can_do_is_told_without_a_run(tmp_path: Path) -> None:
    made = here(read_settings(), tmp_path)
    assert tuple(made) == NAMES
    assert [one.changed for one in made["resume"]] == ["killed in the middle, resumed"]
    assert len(here(read_settings(None, ("max_steps=9",)), tmp_path)["resume"]) == 3
    assert tuple(here(read_settings(None, ("numerics=stock",)), tmp_path)) == tuple(
        name for name in NAMES if name not in NOT_STOCK
    )
