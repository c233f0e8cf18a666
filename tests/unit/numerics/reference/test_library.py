"""The reference stands where a library stands: every operation, its canaries, one object, a digest of its sources."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.numerics import elementwise, library
from samebits.numerics.canaries.check import CANARIES
from samebits.numerics.facts import library_facts
from samebits.numerics.library import Kernels
from samebits.numerics.ops import OPS
from samebits.numerics.oracle import activations
from samebits.numerics.reference import library as module
from samebits.numerics.reference.library import ReferenceLibrary, reference_library


def test_every_operation_is_computed() -> None:
    assert set(vars(reference_library().functions)) == {op.symbol for op in OPS}


def test_it_gives_the_answer_of_every_canary() -> None:
    with library.using(reference_library()):
        assert [c.name for c in CANARIES if c.actual_sha256() != c.sha256] == []


def test_a_canary_tells_another_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activations, "GELU_L", activations.GELU_L + 1)
    with library.using(reference_library()):
        assert {c.name for c in CANARIES if c.name.startswith("gelu_tanh") and c.actual_sha256() != c.sha256} == {
            "gelu_tanh",
            "gelu_tanh_backward",
        }


def test_the_comparison_of_these_tests_tells_a_wrong_operation(
    same_on_both: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.float32([1, 2])
    same_on_both(lambda: elementwise.add(x, x))
    functions = reference_library().functions
    monkeypatch.setattr(functions, "sb_add_f32", functions.sb_mul_f32)
    with pytest.raises(AssertionError):
        same_on_both(lambda: elementwise.add(x, x))


def test_no_kernel_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a compiled library was asked for")

    monkeypatch.setattr(library, "open_library", refused)
    monkeypatch.setattr(library, "_loaded", None)
    with library.using(reference_library()):
        assert elementwise.add(np.float32([1]), np.float32([2])).tolist() == [3]
        facts = library_facts()
    assert facts is not None
    assert (facts["isa"], facts["library_sha256"]) == ("reference", None)
    assert facts["sources_sha256"] == reference_library().sources


def test_there_is_one(native: Kernels) -> None:
    assert reference_library() is reference_library()
    assert reference_library().path is None
    assert library.loaded() is native


def test_its_sources_digest_follows_the_oracle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = tuple(Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in module._SOURCES)
    monkeypatch.setattr(module, "_SOURCES", folders)
    assert ReferenceLibrary().sources == reference_library().sources
    with (folders[1] / "binary32.py").open("a", encoding="utf-8") as file:
        file.write("\n")
    assert ReferenceLibrary().sources != reference_library().sources
