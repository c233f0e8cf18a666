"""Libraries with one planted fault: a copy of the sources, one edit, compiled as the real ones are."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import pytest

from samebits.numerics import build, library
from samebits.numerics.library import Library


@pytest.fixture(scope="session")
def best_isa(native_libraries: Path) -> str:
    """The best instruction set that runs here."""
    return library.runnable_isas()[-1]


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory, best_isa: str) -> Callable[..., Library]:
    """`faulty(edits, flags=(), isa=best)`: a library with (file, before, after) edited; each edit must change its file.

    All are compiled in one folder and under one digest, so that the compiler takes what no edit reaches from its cache.
    """
    native = tmp_path_factory.mktemp("faulty") / "native"
    shutil.copytree(build.NATIVE, native, ignore=shutil.ignore_patterns("lib"))
    folders = (native.parent / f"lib-{number}" for number in count())

    def compiled(*edits: tuple[str, str, str], flags: Sequence[str] = (), isa: str = best_isa) -> Library:
        originals = {name: (native / name).read_bytes() for name, _, _ in edits}
        try:
            for name, before, after in edits:
                text = (native / name).read_text(encoding="utf-8")
                assert text.count(before) == 1, f"{name} must hold once: {before}"
                (native / name).write_text(text.replace(before, after), encoding="utf-8")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(build, "sources_sha256", lambda _: "faulty")
                # -O1 for the compiler's time; the arithmetic's flags stay.
                flags = ["-O1", *flags]
                paths = build.build(native=native, folder=next(folders), isas=[isa], extra_flags=flags, compiler="")
        finally:
            for name, data in originals.items():
                (native / name).write_bytes(data)
        return Library(paths[isa])

    return compiled
