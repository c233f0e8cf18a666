"""A canary refuses a wrong answer and gives the threads back; tests/faults plants faults in the kernels themselves."""

from __future__ import annotations

import dataclasses

import pytest

from samebits.errors import NumericsError
from samebits.numerics import canaries, library


@pytest.mark.parametrize("place", range(len(canaries.CANARIES)))
def test_each_canary_is_run_and_compared(monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    library.loaded()
    others = list(canaries.CANARIES)
    others[place] = dataclasses.replace(others[place], sha256="0" * 64)
    monkeypatch.setattr(canaries, "CANARIES", tuple(others))
    sentence = f"`{others[place].name}` must give clause {others[place].clause}'s known answer 000000000000"
    with pytest.raises(NumericsError, match=sentence):
        canaries.check_canaries()


def test_threads_are_as_they_were_before() -> None:
    before = library.threads()
    library.set_threads(5)
    try:
        canaries.check_canaries()
        assert library.threads() == 5
    finally:
        library.set_threads(before)


def test_the_digest_is_of_bits() -> None:
    zeros = canaries.pattern(1, 3) * 0
    assert canaries.digest(abs(zeros)) != canaries.digest(-abs(zeros))


def test_patterns_are_finite_and_differ_by_seed() -> None:
    first, second = canaries.pattern(1, 1000, low=0, high=255), canaries.pattern(2, 1000, low=0, high=255)
    assert abs(first).max() < float("inf")
    assert canaries.digest(first) != canaries.digest(second)
