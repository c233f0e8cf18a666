"""Attention with a masked term too many, another window, order, scale or mask: each is caught by a canary."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.canaries.check import check_canaries
from samebits.numerics.library import Library

Faulty = Callable[..., Library]
FORWARD, BACKWARD, SHARED = "attention.cpp", "attention_backward.cpp", "attention.hpp"
FORWARD_REFUSED = "`attention` must give clause N-16's known answer"
BACKWARD_REFUSED = "`attention_backward` must give clause N-16's known answer"


def refusal(faulty: Library) -> str:
    with library.using(faulty), pytest.raises(NumericsError) as refused:
        check_canaries()
    return str(refused.value)


def test_a_masked_term_added_as_zero_is_caught(faulty: Faulty) -> None:
    """Masked weights are +0 and take part: -0 turns into +0 where a chain has vanished below zero."""
    added = faulty(
        (SHARED, "if (i < first || i > last) continue;", "if (i > c.n_rows - 1) continue;"),
        (
            FORWARD,
            "      sums[r] = n.sum;\n",
            "      sums[r] = n.sum;\n      for (int64_t j = end; j < rounds.n(); j++) x[j] = 0.0f;\n",
        ),
    )
    assert FORWARD_REFUSED in refusal(added)


def test_a_window_off_by_one_is_caught(faulty: Faulty) -> None:
    wider = faulty(
        (SHARED, "return window && i >= window ? i - window + 1 : 0;", "return i > window ? i - window : 0;")
    )
    assert FORWARD_REFUSED in refusal(wider)


def test_a_scale_before_the_chain_is_caught(faulty: Faulty) -> None:
    early = faulty(
        (FORWARD, "const f32v factor = splat(scale);", "const f32v factor = splat(scale * 0.0f + 1.0f);"),
        (
            FORWARD,
            "n_rows, s.d, queries);\n",
            "n_rows, s.d, queries);\n    for (int64_t c = 0; c < n_rows * s.d; c++) queries[c] *= s.scale;\n",
        ),
    )
    assert FORWARD_REFUSED in refusal(early)


def test_a_scale_inside_the_chain_of_a_gradient_is_caught(faulty: Faulty) -> None:
    early = faulty(
        (
            BACKWARD,
            "store(g + x, e * (load(g + x) - subtrahend));",
            "store(g + x, e * (load(g + x) - subtrahend) * factor);",
        ),
        (
            BACKWARD,
            "store(from, e * (from_bits(bits_of(load(from)) & keep) - subtrahend));",
            "store(from, e * (from_bits(bits_of(load(from)) & keep) - subtrahend) * factor);",
        ),
        (BACKWARD, "panel, x * splat(s.scale));", "panel, x);"),
        (BACKWARD, "if (place + 1 == group) dk_x = dk_x * splat(s.scale);", ""),
    )
    assert BACKWARD_REFUSED in refusal(early)


def test_weights_divided_before_the_chain_are_caught(faulty: Faulty) -> None:
    early = faulty(
        (
            FORWARD,
            "      sums[r] = n.sum;\n",
            "      sums[r] = 1.0f;\n      for (int64_t j = begin; j < end; j++) x[j] /= n.sum;\n",
        )
    )
    assert FORWARD_REFUSED in refusal(early)


def test_heads_of_a_group_in_another_order_are_caught(faulty: Faulty) -> None:
    last_first = "head / group * group + group - 1 - head % group"
    descending = faulty(
        (BACKWARD, "place = head % group;", "place = group - 1 - head % group;"),
        (
            BACKWARD,
            "worker.head(head), worker.gather(head, 0,",
            f"worker.head({last_first}), worker.gather({last_first}, 0,",
        ),
    )
    assert BACKWARD_REFUSED in refusal(descending)


def test_a_mask_of_other_counters_in_the_backward_pass_is_caught(faulty: Faulty) -> None:
    other = faulty(
        (BACKWARD, "job.dropout.element(head, s.first + row, j + x)", "job.dropout.element(head, row, j + x)")
    )
    assert BACKWARD_REFUSED in refusal(other)


def test_a_rotation_rounded_thrice_is_caught(faulty: Faulty) -> None:
    thrice = faulty(("rotary.cpp", "fma(a, c, -(b * s))", "a * c - b * s"))
    assert "`rotate` must give clause N-20's known answer" in refusal(thrice)


def test_a_backward_rotation_by_the_positive_angle_is_caught(faulty: Faulty) -> None:
    forward = faulty(("rotary.cpp", "backward ? -1.0f : 1.0f", "backward ? 1.0f : 1.0f"))
    assert "`rotate` must give clause N-20's known answer" in refusal(forward)


def test_embedding_gradients_added_from_the_end_are_caught(faulty: Faulty) -> None:
    descending = faulty(
        (
            "embedding.cpp",
            "for (int64_t row = 0; row < job.n; row++) {\n    const float* from = job.from + row",
            "for (int64_t row = job.n - 1; row >= 0; row--) {\n    const float* from = job.from + row",
        )
    )
    assert "`embedding_backward` must give clause N-20's known answer" in refusal(descending)
