"""Shares never round up, variances never depend on the order."""

from __future__ import annotations

import itertools
import math
import statistics
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samebits.report.scores import Share, most_common, not_tested, share_of_most_common, total, variance

finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e150, max_value=1e150)


@pytest.mark.parametrize(
    ("n_same", "n_total", "expected"),
    [(0, 3, 0.0), (1, 6, 0.1666), (2, 3, 0.6666), (99999, 100000, 0.9999), (5, 5, 1.0)],
)
def test_a_share_is_rounded_towards_zero(n_same: int, n_total: int, expected: float) -> None:
    assert Share(n_same, n_total).value == expected


@given(st.integers(1, 10**9), st.data())
def test_a_share_is_1_only_where_all_agree(n_total: int, data: st.DataObject) -> None:
    n_same = data.draw(st.integers(0, n_total))
    value = Share(n_same, n_total).value
    assert value is not None
    assert Fraction(value) <= Fraction(n_same, n_total) + Fraction(1, 10**15)
    assert (value == 1.0) == (n_same == n_total)


def test_not_tested_is_a_value_and_no_success() -> None:
    share = not_tested("nobody looked")
    assert share.document() == {
        "score": None,
        "n_same": 0,
        "n_total": 0,
        "verdict": "not tested",
        "reason": "nobody looked",
    }


def test_one_run_is_compared_with_nothing() -> None:
    assert share_of_most_common({"a": "x"}).verdict == "not tested"
    assert share_of_most_common({}).verdict == "not tested"
    assert share_of_most_common({"a": "x", "b": "x"}).verdict == "same"


def test_a_run_without_the_file_agrees_with_none() -> None:
    assert share_of_most_common({"a": "x", "b": None, "c": None}) == Share(1, 3)
    assert share_of_most_common({"a": None, "b": None}) == Share(0, 2)


def test_six_different_files_score_a_sixth() -> None:
    assert share_of_most_common({str(n): n for n in range(6)}).value == 0.1666


def test_equally_common_values_are_decided_by_name_not_by_order() -> None:
    runs = [("c", "y"), ("a", "x"), ("d", "x"), ("b", "y")]
    assert {most_common(dict(order)) for order in itertools.permutations(runs)} == {"x"}


def test_a_total_leaves_out_what_was_not_tested() -> None:
    assert total([Share(2, 3), not_tested("one run"), Share(4, 4)], "none") == Share(6, 7)
    assert total([not_tested("one run")], "none") == not_tested("none")


@given(st.lists(finite, min_size=2, max_size=6))
def test_variance_is_the_exact_one_rounded_once_in_any_order(values: list[float]) -> None:
    expected = float(statistics.pvariance([Fraction(value) for value in values]))
    assert variance(values) == variance(values[::-1]) == variance(sorted(values))
    assert variance(values) == (expected or (0.0 if len(set(values)) == 1 else math.ulp(0.0)))


def test_variance_is_zero_only_for_equal_values() -> None:
    assert variance([1.5, 1.5, 1.5]) == 0.0
    assert variance([0.0, math.ulp(0.0)]) == math.ulp(0.0)
    assert variance([1.0, math.nextafter(1.0, 2.0)]) > 0.0  # type: ignore[operator]


def test_variance_of_too_few_or_too_large_numbers_is_none() -> None:
    assert variance([]) is None
    assert variance([1.0]) is None
    assert variance([1e300, -1e300]) is None
