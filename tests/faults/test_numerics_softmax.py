"""N-19 done a little otherwise: each is caught by a canary when loaded."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.canaries.check import check_canaries
from samebits.numerics.library import Library

Faulty = Callable[..., Library]
LANES_OF_SUMS = "return lanes + exponentials;\n      },\n      Add());"


def refusal(faulty: Library) -> str:
    with library.using(faulty), pytest.raises(NumericsError) as refused:
        check_canaries()
    return str(refused.value)


@pytest.mark.parametrize(
    ("edit", "canary"),
    [
        pytest.param(
            (
                "softmax.hpp",
                LANES_OF_SUMS,
                LANES_OF_SUMS.replace("Add()", "[](f32v low, f32v high) { return high + rotated<1>(low); }"),
            ),
            "softmax",
            id="another tree of the lanes within softmax",
        ),
        pytest.param(
            ("softmax.cpp", "e.load(to) * inverse", "e.load(to) / splat(sum)"),
            "softmax",
            id="a quotient for a product with the reciprocal",
        ),
        pytest.param(
            ("softmax.cpp", "(e.load(from) - maximum) - log_sum", "e.load(from) - (maximum + log_sum)"),
            "log_softmax",
            id="maximum and logarithm taken off at once",
        ),
        pytest.param(
            ("softmax.cpp", "e.load(p) * (e.load(d) - along)", "fma(e.load(p), e.load(d), -(e.load(p) * along))"),
            "softmax_backward",
            id="a gradient multiplied out",
        ),
        pytest.param(
            ("cross_entropy.cpp", "losses[r] = log_of(sum) - (x[", "losses[r] = (log_of(sum) + m) - (x["),
            "cross_entropy",
            id="a loss that keeps the maximum",
        ),
        pytest.param(
            ("cross_entropy.cpp", "scales * (e.load(to) * inverses)", "e.load(to) * (scales * inverses)"),
            "cross_entropy_backward",
            id="the scale taken into the reciprocal",
        ),
        pytest.param(
            (
                "cross_entropy.cpp",
                "+ job.losses[r];",
                "+ job.losses[r];\n    else lanes[r % LANES] = lanes[r % LANES] + 0.0f;",
            ),
            "loss_sum",
            id="a row without a target added as zero",
        ),
        pytest.param(
            ("cross_entropy.cpp", "int64_t r = 0; r < job.rows; r++)\n    if", "int64_t r = job.rows; r--;)\n    if"),
            "loss_sum",
            id="losses in another order",
        ),
    ],
)
def test_another_order_or_rounding_is_caught(faulty: Faulty, edit: tuple[str, str, str], canary: str) -> None:
    assert f"`{canary}` must give clause N-19's" in refusal(faulty(edit))
