from __future__ import annotations

from typing import Any

import pytest

from samebits.errors import RecipeError, RecordError
from samebits.study.reference_time import check_reference_time, reference_time_s


def recipe(n_parameters: Any = 1000, n_tokens: Any = 200, batch: int = 4, evaluation: Any = None) -> dict[str, Any]:
    return {
        "base": {"n_parameters": n_parameters},
        "data": {"train": {"n_tokens": n_tokens, "n_samples": 20}, "evaluation": evaluation},
        "settings": {"total_train_batch_size": batch},
    }


def test_time_grows_with_all_that_is_computed() -> None:
    one = reference_time_s(recipe(), 5)
    assert reference_time_s(recipe(n_parameters=2000), 5) == 2 * one
    assert reference_time_s(recipe(n_tokens=400), 5) == 2 * one
    assert reference_time_s(recipe(), 10) == 2 * one
    assert reference_time_s(recipe(batch=8), 5) == 2 * one
    # No step has more samples than there are.
    assert reference_time_s(recipe(batch=10**6), 1) == one
    assert reference_time_s(recipe(evaluation={"n_tokens": 200}), 5) == 1.5 * one


def test_the_measured_sample_is_met_within_a_half() -> None:
    # docs/reference_engine.md: 207 s for one sample of 361 tokens on the embedded model.
    measured = recipe(n_parameters=165_632, n_tokens=361)
    measured["data"]["train"]["n_samples"] = measured["settings"]["total_train_batch_size"] = 1
    assert 0.5 < reference_time_s(measured, 1) / 207 < 1.5


def test_what_takes_too_long_is_refused_with_an_estimate() -> None:
    check_reference_time(recipe(), 5)
    with pytest.raises(RecipeError, match="at most 60 minutes, got about 5 hours"):
        check_reference_time(recipe(n_parameters=10**6), 1250 // 10)
    with pytest.raises(RecipeError, match="about 57 years"):
        check_reference_time(recipe(n_parameters=10**9), 12500)


@pytest.mark.parametrize(
    "document",
    [{}, {"base": []}, recipe(n_parameters=-1), recipe(n_parameters=True), recipe(10**30), recipe(n_tokens="1")],
)
def test_a_recipe_that_tells_no_size_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match="must be a whole number"):
        reference_time_s(document, 1)
