"""A canary refuses a wrong answer and gives the threads back; tests/faults plants faults in the kernels themselves."""

from __future__ import annotations

import dataclasses

import pytest

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.canaries import check


@pytest.mark.parametrize("place", range(len(check.CANARIES)))
def test_each_canary_is_run_and_compared(monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    library.loaded()
    others = list(check.CANARIES)
    others[place] = dataclasses.replace(others[place], sha256="0" * 64)
    monkeypatch.setattr(check, "CANARIES", tuple(others))
    sentence = f"`{others[place].name}` must give clause {others[place].clause}'s known answer 000000000000"
    with pytest.raises(NumericsError, match=sentence):
        check.check_canaries()


def test_threads_are_as_they_were_before() -> None:
    before = library.threads()
    library.set_threads(5)
    try:
        check.check_canaries()
        assert library.threads() == 5
    finally:
        library.set_threads(before)


def test_a_refusal_is_told_for_each_library(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check.refusals() == dict.fromkeys(library.runnable_isas())
    wrong = dataclasses.replace(check.CANARIES[0], sha256="0" * 64)
    monkeypatch.setattr(check, "CANARIES", (wrong,))
    found = check.refusals()
    assert list(found) == list(library.runnable_isas())
    assert all("known answer 000000000000" in str(error) for error in found.values())
