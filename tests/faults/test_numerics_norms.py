"""N-18 done a little otherwise: each is caught by a canary when loaded."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.canaries.check import check_canaries
from samebits.numerics.library import Library

Faulty = Callable[..., Library]


def refusal(faulty: Library) -> str:
    with library.using(faulty), pytest.raises(NumericsError) as refused:
        check_canaries()
    return str(refused.value)


@pytest.mark.parametrize(
    ("edit", "canary"),
    [
        pytest.param(
            ("norms.cpp", "sum_of(from, n) / (float)n", "sum_of(from, n) * (1.0f / (float)n)"),
            "layer_norm",
            id="a mean by the reciprocal of n",
        ),
        pytest.param(
            ("norms.cpp", "sqrt(splat(mean_square + eps))", "(sqrt(splat(mean_square)) + splat(eps))"),
            "layer_norm",
            id="eps beside the root",
        ),
        pytest.param(
            ("norms.cpp", "fma(h(e), e.load(w), e.load(b))", "h(e) * e.load(w) + e.load(b)"),
            "layer_norm",
            id="weight and bias rounded apart",
        ),
        pytest.param(
            ("norms.cpp", "e.store(to, h(e) * e.load(w))", "e.store(to, e.load(from) * (rstd * e.load(w)))"),
            "rms_norm",
            id="the weight before the row",
        ),
        pytest.param(
            ("norms.cpp", "fma(-h(e), along, rest)", "rest - h(e) * along"),
            "layer_norm_backward",
            id="the projection rounded before it is taken off",
        ),
        pytest.param(
            ("rows.hpp", "accumulators[v][k] = splat(EMPTY_SUM);", "accumulators[v][k] = splat(0.0f);"),
            "layer_norm_backward",
            id="sums that start from +0",
        ),
        pytest.param(
            (
                "norms.cpp",
                "for (int k = 0; k < COUNT; k++) {\n        const",
                "for (int k = COUNT; k--;) {\n        const",
            ),
            "layer_norm_backward_weight",
            id="rows in another order",
        ),
    ],
)
def test_another_order_or_rounding_is_caught(faulty: Faulty, edit: tuple[str, str, str], canary: str) -> None:
    assert f"`{canary}` must give clause N-18's" in refusal(faulty(edit))


def test_rows_that_depend_on_threads_are_caught(faulty: Faulty) -> None:
    """A part of the rows that another thread takes is wrong: only the canaries on two threads can see it."""
    uneven = faulty(("rows.hpp", "row < end; row++) job.row(row);", "row < end; row++) job.row(i ? end - 1 : row);"))
    assert "2 threads" in refusal(uneven)
