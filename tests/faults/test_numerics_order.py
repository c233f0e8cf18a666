"""Another order of the same operations, one more or one fewer rounding: each is caught by a canary when loaded."""

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


def test_an_untouched_copy_passes(faulty: Faulty) -> None:
    with library.using(faulty()):
        check_canaries()


def test_contraction_is_caught(faulty: Faulty, best_isa: str) -> None:
    if best_isa == "baseline":
        pytest.skip("this processor has no fma to contract into")
    assert "`add_scaled` must give clause N-02's" in refusal(faulty(flags=["-ffp-contract=fast"]))


def test_another_number_of_lanes_is_caught(faulty: Faulty) -> None:
    library_with_32 = faulty(("lanes.hpp", "constexpr int LANES = 64;", "constexpr int LANES = 32;"))
    assert "`sum` must give clause N-07's" in refusal(library_with_32)


def test_another_tree_of_the_lanes_is_caught(faulty: Faulty) -> None:
    neighbours = faulty(
        ("lanes.hpp", "lanes[v] = join(lanes[v], lanes[v + half])", "lanes[v] = join(lanes[2 * v], lanes[2 * v + 1])")
    )
    assert "`sum` must give clause N-07's" in refusal(neighbours)


def test_a_missing_element_added_as_zero_is_caught(faulty: Faulty) -> None:
    padded = faulty(
        ("lanes.hpp", "lanes[v] = select(first_lanes((int)left), stepped, lanes[v]);", "lanes[v] = stepped;")
    )
    assert "`sum` must give clause N-07's" in refusal(padded)


def test_a_sum_that_starts_from_plus_zero_is_caught(faulty: Faulty) -> None:
    assert "`sum` must give" in refusal(faulty(("lanes.hpp", "EMPTY_SUM = -0.0f;", "EMPTY_SUM = 0.0f;")))


def test_a_product_split_over_k_is_caught(faulty: Faulty) -> None:
    split = faulty(
        ("tile.hpp", "f32v acc[MR][NV];", "f32v acc[MR][NV], odd[MR][NV] = {};"),
        (
            "tile.hpp",
            "acc[i][v] = fma(x, row[v], acc[i][v]);",
            "(k & 1 ? odd : acc)[i][v] = fma(x, row[v], (k & 1 ? odd : acc)[i][v]);",
        ),
        (
            "tile.hpp",
            "  if (t.bias)\n",
            "  for (int i = 0; i < MR; i++) for (int v = 0; v < NV; v++) acc[i][v] += odd[i][v];\n  if (t.bias)\n",
        ),
    )
    assert "`mm` must give clause N-04's" in refusal(split)


def test_a_bias_that_starts_the_chain_is_caught(faulty: Faulty) -> None:
    early = faulty(
        ("tile.hpp", ": f32v{};", ": t.bias ? load(t.bias + v * WIDTH) : f32v{};"),
        ("tile.hpp", "  if (t.bias)\n", "  if (false)\n"),
    )
    assert "`mm` must give clause N-04's" in refusal(early)


def test_an_fma_rounded_twice_is_caught(faulty: Faulty) -> None:
    twice = faulty(
        (
            "vec.hpp",
            "SB_INLINE f32v fma(f32v a, f32v b, f32v c) {",
            "SB_INLINE f32v fma(f32v a, f32v b, f32v c) {\n  return a * b + c;",
        )
    )
    assert "`fma` must give clause N-02's" in refusal(twice)


def test_a_part_of_the_outputs_that_depends_on_threads_is_caught(faulty: Faulty) -> None:
    """Rows of a reduction whose last part is folded by another rule: only the canaries on two threads can see it."""
    uneven = faulty(
        ("pool.hpp", "double most = n_operations / least_share;", "double most = n_operations;"),
        (
            "products.cpp",
            "  Worker worker(job.p,",
            "  Product p = job.p; if (i) p.bias = nullptr;\n  Worker worker(p,",
        ),
    )
    assert "2 threads" in refusal(uneven)
