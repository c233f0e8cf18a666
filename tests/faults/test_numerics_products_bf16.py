"""Bfloat16 products by another order, another flushing or another rounding: each is caught by a canary when loaded."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.canaries.check import check_canaries
from samebits.numerics.library import Library

Faulty = Callable[..., Library]

HALVED = """      a += 2 * MR;
      if (pair == 7) {
        for (int i = 0; i < MR; i++)
          for (int v = 0; v < NV; v++) {
            float* c = acc + v * WIDTH / PANEL * acc_panel + i * PANEL + v * WIDTH % PANEL;
            store(c, (fresh ? f32v{} : load(c)) + (even[i][v] + odd[i][v]));
            even[i][v] = odd[i][v] = f32v{};
          }
        fresh = false;
      }
"""


@pytest.fixture(scope="module")
def fma_isa(best_isa: str) -> str:
    """The best instruction set here that replays AMX by fma."""
    return [isa for isa in library.runnable_isas() if isa != "amx"][-1]


@pytest.fixture(scope="module")
def amx(best_isa: str) -> str:
    if best_isa != "amx":
        pytest.skip("this processor has no AMX")
    return best_isa


def refusal(faulty: Library) -> str:
    with library.using(faulty), pytest.raises(NumericsError) as refused:
        check_canaries()
    return str(refused.value)


PRODUCT = "must give clause N-05's"


def test_blocks_of_16_steps_are_caught(faulty: Faulty, fma_isa: str) -> None:
    halved = faulty(
        (
            "replay.hpp",
            "      a += 2 * MR;\n",
            HALVED,
        ),
        isa=fma_isa,
    )
    assert f"`linear_bf16` {PRODUCT}" in refusal(halved)


def test_one_chain_over_all_steps_is_caught(faulty: Faulty, fma_isa: str) -> None:
    """The order that Intel's Intrinsics Guide gives for the instruction, and that it does not have."""
    one_chain = faulty(
        (
            "replay.hpp",
            "step<MR, NV, B, Flush>(a + MR, b, pair, true, odd);",
            "step<MR, NV, B, Flush>(a + MR, b, pair, true, even);",
        ),
        isa=fma_isa,
    )
    assert f"`linear_bf16` {PRODUCT}" in refusal(one_chain)


@pytest.mark.parametrize(("state", "what"), [("0x1fc0", "results"), ("0x9f80", "operands"), ("0x1f80", "anything")])
def test_subnormals_that_are_kept_are_caught(faulty: Faulty, fma_isa: str, state: str, what: str) -> None:
    keeping = faulty(("state.hpp", "write(0x9fc0)", f"write({state})"), isa=fma_isa)
    assert f"`linear_bf16` {PRODUCT}" in refusal(keeping), what


def test_a_state_that_stays_behind_is_caught(faulty: Faulty, fma_isa: str) -> None:
    """The bias is added after the chains in N-01's state, which keeps subnormals."""
    flushing = faulty(("state.hpp", "write(0x1f80)", "write(0x9fc0)"), isa=fma_isa)
    assert f"`linear_bf16` {PRODUCT}" in refusal(flushing)


def test_truncated_operands_are_caught(faulty: Faulty) -> None:
    truncating = faulty(
        ("bf16.hpp", "i32v rounded = (i32v)((u32v)(bits + 0x7fff + (upper & 1)) >> 16);", "i32v rounded = upper;")
    )
    assert "`convert_f32_bf16` must give clause N-14's" in refusal(truncating)


def test_steps_beyond_the_last_that_are_not_zero_are_caught(faulty: Faulty) -> None:
    padded = faulty(("blocks.hpp", "for (; c < BLOCK_K; c++) out[c] = 0;", "for (; c < BLOCK_K; c++) out[c] = 0x3f80;"))
    assert f"`linear_bf16` {PRODUCT}" in refusal(padded)


def test_flushing_by_hand_is_proved_by_the_same_canaries(faulty: Faulty, fma_isa: str) -> None:
    by_hand = {"flags": ["-DSB_FLUSH_BY_HAND"], "isa": fma_isa}
    with library.using(faulty(**by_hand)):
        check_canaries()
    never = faulty(("blocks.hpp", "NOTHING_TINY = 142", "NOTHING_TINY = 0"), **by_hand)
    assert f"`linear_bf16` {PRODUCT}" in refusal(never)
    before_rounding = faulty(
        ("replay.hpp", "(magnitude == 0x00800000) & below)", "(magnitude == 0x00800000))"), **by_hand
    )
    assert f"`linear_bf16` {PRODUCT}" in refusal(before_rounding)
    after_gradual_rounding = faulty(
        ("replay.hpp", "| ((magnitude == 0x00800000) & below)", "| (below & (magnitude < 0))"), **by_hand
    )
    assert f"`linear_bf16` {PRODUCT}" in refusal(after_gradual_rounding)


def test_the_library_for_amx_runs_on_amx(faulty: Faulty, amx: str) -> None:
    """A fault beside the instruction: were the replay compiled in its place, nothing would change."""
    swapped = faulty(("amx.hpp", "    _tile_dpbf16ps(2, 5, 6);\n", "    _tile_dpbf16ps(2, 5, 7);\n"), isa=amx)
    assert f"`linear_bf16` {PRODUCT}" in refusal(swapped)


def test_tiles_that_start_from_what_was_there_are_caught(faulty: Faulty, amx: str) -> None:
    stale = faulty(("amx.hpp", "    _tile_zero(3);\n  } else {", "  } else {"), isa=amx)
    assert f"`linear_bf16` {PRODUCT}" in refusal(stale)
