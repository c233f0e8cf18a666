from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from samebits.numerics import library
from samebits.numerics.canaries import check
from samebits.numerics.examination import examine_arithmetic


def test_the_kernels_answer_as_their_clauses_say(native_libraries: Path) -> None:
    found = examine_arithmetic()
    assert found.ok is True
    assert all(isa in found.measured for isa in library.runnable_isas())


def test_a_kernel_that_answers_otherwise_fails(native_libraries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = dataclasses.replace(check.CANARIES[-1], sha256="0" * 64)
    monkeypatch.setattr(check, "CANARIES", (*check.CANARIES[:-1], wrong))
    found = examine_arithmetic()
    assert found.ok is False
    assert f"`{wrong.name}` must give clause {wrong.clause}'s known answer 000000000000" in found.measured


def test_kernels_that_are_not_there_are_not_called_good(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "LIBRARIES", tmp_path)
    assert examine_arithmetic().ok is None
