"""The facts name the library that kernels run on, and tell nothing where there is none to trust."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from samebits.numerics import library
from samebits.numerics.build import sources_sha256
from samebits.numerics.facts import library_facts
from samebits.numerics.library import Library


def test_the_library_in_use_is_named(native: Library) -> None:
    facts = library_facts()
    assert facts is not None
    assert facts["isa"] == native.isa
    assert facts["library_sha256"] == hashlib.sha256(native.path.read_bytes()).hexdigest()
    assert facts["sources_sha256"] == sources_sha256()
    assert native.isa in facts["runnable_isas"]


def test_no_library_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "_loaded", None)
    monkeypatch.setattr(library, "LIBRARIES", tmp_path)
    assert library_facts() is None
