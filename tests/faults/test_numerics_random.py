"""Wrong words, thresholds and layouts: each is caught by a canary when the library loads, or by a known answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics import elementwise, library, random, sampling
from samebits.numerics.arrays import F32
from samebits.numerics.canaries.check import check_canaries
from samebits.numerics.dropout import threshold_and_scale
from samebits.numerics.library import Library

Faulty = Callable[..., Library]


def refusal(faulty: Library) -> str:
    with library.using(faulty), pytest.raises(NumericsError) as refused:
        check_canaries()
    return str(refused.value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("constexpr int PHILOX_ROUNDS = 10;", "constexpr int PHILOX_ROUNDS = 9;"),
        ("(number >> 32 << 24) | (uint64_t)stream.step;", "wide{} + (uint64_t)stream.step;"),
        ("block += BLOCKS;\n  }\n  for (; i + CHAINS", "block += BLOCKS + 1;\n  }\n  for (; i + CHAINS"),
    ],
    ids=["rounds", "upper bits of the block", "a block skipped"],
)
def test_other_words_are_caught(faulty: Faulty, before: str, after: str) -> None:
    assert "`random_words` must give clause N-10's" in refusal(faulty(("philox.hpp", before, after)))


def test_counter_words_that_change_places_are_caught(faulty: Faulty) -> None:
    swapped = faulty(
        ("philox.hpp", "c1[n] = wide{} + (uint64_t)stream.sample;", "c3[n] = wide{} + (uint64_t)stream.sample;"),
        ("philox.hpp", "c3[n] = wide{} + (uint64_t)stream.place;", "c1[n] = wide{} + (uint64_t)stream.place;"),
    )
    assert "`random_words` must give clause N-10's" in refusal(swapped)


def test_a_threshold_that_drops_its_own_word_is_caught(faulty: Faulty) -> None:
    off_by_one = faulty(("philox.hpp", "words >= u32v{} + threshold", "words > u32v{} + threshold"))
    assert "`dropout` must give clause N-21's" in refusal(off_by_one)


def test_a_signed_comparison_is_caught(faulty: Faulty) -> None:
    signed = faulty(
        ("philox.hpp", "(i32v)(words >= u32v{} + threshold)", "((i32v)words >= (i32v)(u32v{} + threshold))")
    )
    assert "`dropout` must give clause N-21's" in refusal(signed)


def test_23_bits_instead_of_24_are_caught(faulty: Faulty) -> None:
    coarse = faulty(("random.cpp", "(i32v)(words >> 8)", "(i32v)(words >> 9 << 1)"))
    assert "`kaiming_uniform` must give clause N-22's" in refusal(coarse)


def test_swapped_fields_are_caught_on_the_way_to_the_kernel(
    native_libraries: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swapped(stream: random.Stream) -> np.ndarray:
        place = random.VERSION << 24 | stream.purpose << 16 | stream.tensor
        return np.array(
            [stream.seed & 0xFFFFFFFF, stream.seed >> 32, stream.step, stream.sample, place], dtype=np.uint32
        )

    monkeypatch.setattr(random.Stream, "fields", property(swapped))
    monkeypatch.setattr(random.Stream, "address", property(lambda stream: _kept(swapped(stream))))
    with pytest.raises(NumericsError, match="`random_words` must give clause N-10's"):
        check_canaries()


_alive: list[np.ndarray] = []


def _kept(fields: np.ndarray) -> int:
    _alive.append(fields)
    return int(fields.ctypes.data)


def test_a_threshold_rounded_up_is_caught(native_libraries: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def rounded_up(p: float) -> tuple[int, float]:
        threshold, scale = threshold_and_scale(p)
        return threshold + 1, scale

    monkeypatch.setattr("samebits.numerics.dropout.threshold_and_scale", rounded_up)
    with pytest.raises(NumericsError, match="`dropout` must give clause N-21's"):
        check_canaries()


def _last_of_equals(ranks: sampling.Ranks, k: int) -> sampling.Tokens:
    return np.sort(np.argsort(ranks, kind="stable")[-k:])


def _other_half_first(weights: sampling.Weights, stream: random.Stream, position: int) -> int:
    low, high = random.words(stream, 2, first=4 * position).tolist()
    sums = np.cumsum(weights)
    return int(np.searchsorted(sums, np.uint64((high << 32 | low) * int(sums[-1]) >> 64), side="right"))


def _divided(logits: F32, penalty: float, seen: Iterable[int]) -> F32:
    """Also where a logit is negative."""
    tokens, scores = np.unique(np.fromiter(seen, dtype=np.int64)), logits.copy()
    scores[tokens] = elementwise.div(scores[tokens], np.full(len(tokens), penalty, dtype=np.float32))
    return scores


@pytest.mark.parametrize(
    ("name", "planted"),
    [("_top_k", _last_of_equals), ("_drawn", _other_half_first), ("_penalised", _divided)],
    ids=["equal logits by falling token", "the words' places", "a penalty that raises"],
)
def test_another_choice_of_tokens_is_caught(
    native_libraries: object, monkeypatch: pytest.MonkeyPatch, name: str, planted: Callable[..., object]
) -> None:
    monkeypatch.setattr(sampling, name, planted)
    with pytest.raises(NumericsError, match="`next_token` must give clause N-24's"):
        check_canaries()
