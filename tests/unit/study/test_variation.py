"""One change: which run it is held against, and the facts by which its effect is seen."""

from __future__ import annotations

from samebits.study.variation import GOLDEN, GOLDEN_RUNS, Variation, fact, of_profile, repeats, without


def test_the_first_run_of_a_profile_is_golden_and_the_rest_repeat_it() -> None:
    assert [entry.name for entry in repeats("portable-f32", 3)] == [GOLDEN, "repeat-1", "repeat-2"]
    stock = repeats("stock", 2)
    assert [(entry.name, entry.profile, entry.against) for entry in stock] == [
        ("stock", "stock", "stock"), ("stock-repeat-1", "stock", "stock"),
    ]  # fmt: skip


def test_a_change_of_another_profile_has_its_own_name_and_golden_run() -> None:
    change = Variation("folder", "folder", "another")
    assert of_profile(change, "portable-f32") == change
    assert of_profile(change, "stock").name == "stock-folder"
    assert of_profile(change, "stock").against == GOLDEN_RUNS["stock"]


def test_what_cannot_be_applied_says_why() -> None:
    assert [entry.unavailable for entry in without(repeats("stock", 2), "no torch")] == ["no torch", "no torch"]


def test_a_fact_that_was_not_recorded_is_none() -> None:
    assert fact({"execution": {"isa": "AVX2"}}, "execution.isa") == "AVX2"
    assert fact({"execution": {}}, "execution.isa") is None
    assert fact({"execution": "text"}, "execution.isa.deeper") is None
