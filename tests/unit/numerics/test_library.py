"""Choosing, refusing and proving a library; one pool for several callers, forks and more threads than cores."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics import build, functions, library, products
from samebits.numerics.build import host_platform, library_path

ASK = """
import sys
from pathlib import Path
from samebits.numerics import library
library.LIBRARIES = Path(sys.argv[1])
print(library.loaded().isa)
"""


def ask(isa: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != library.ISA_VARIABLE}
    if isa is not None:
        environment[library.ISA_VARIABLE] = isa
    return subprocess.run(
        [sys.executable, "-c", ASK, library.LIBRARIES], env=environment, capture_output=True, text=True
    )


def test_an_instruction_set_can_be_forced(native: library.Library) -> None:
    assert ask(native.isa).stdout.strip() == native.isa


def test_the_best_is_chosen() -> None:
    assert ask(None).stdout.strip() == library.runnable_isas()[-1]


def test_an_unknown_instruction_set_is_refused() -> None:
    assert "the instruction set must be one of" in ask("mmx").stderr.splitlines()[-1]
    assert "got 'mmx' (SAMEBITS_ISA)" in ask("mmx").stderr.splitlines()[-1]


def test_an_instruction_set_that_the_processor_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    best = library.runnable_isas()[-1]
    monkeypatch.setattr(library, "runnable_isas", lambda folder: ("baseline",))
    if best == "baseline":
        pytest.skip("this processor runs nothing but the baseline")
    with pytest.raises(NumericsError, match=f"must be one that this processor has: baseline, got {best}"):
        library.open_library(best)


def test_a_library_of_other_sources_is_refused(tmp_path: Path) -> None:
    isa = library.runnable_isas()[-1]
    path = library_path(isa, platform=host_platform(), folder=tmp_path)
    shutil.copytree(library.LIBRARIES / host_platform(), path.parent)
    digest = build.sources_sha256().encode()
    path.write_bytes(path.read_bytes().replace(digest, b"0" * 64))
    with pytest.raises(NumericsError, match=r"must be built from these sources \([0-9a-f]{12}\), got 000000000000"):
        library.open_library(isa, folder=tmp_path)


def test_a_missing_library_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(NumericsError, match=r"run `python -m samebits\.numerics\.build`"):
        library.open_library(folder=tmp_path)


def test_a_file_that_is_no_library_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.so"
    path.write_bytes(b"not a library")
    with pytest.raises(NumericsError, match="the native library must load"):
        library.Library(path)


def test_threads_must_be_one_or_more() -> None:
    with pytest.raises(NumericsError, match="must be 1 or more, got 0"):
        library.set_threads(0)


A = np.random.default_rng(1).standard_normal((300, 200)).astype(np.float32)


def product_on_threads(n_threads: int) -> bytes:
    library.set_threads(n_threads)
    return products.mm(A, A.T).tobytes()


def test_several_callers_at_once() -> None:
    expected = product_on_threads(1)
    try:
        with ThreadPoolExecutor(6) as callers:
            results = list(callers.map(product_on_threads, [1 + i % 9 for i in range(300)]))
    finally:
        library.set_threads(1)
    assert set(results) == {expected}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_starts_anew() -> None:
    try:
        expected = product_on_threads(4)
        with multiprocessing.get_context("fork").Pool(3) as children:
            results = children.map_async(product_on_threads, [1, 2, 4, 8] * 5).get(timeout=60)
        assert set(results) == {expected}
        assert product_on_threads(4) == expected
    finally:
        library.set_threads(1)


def test_many_more_threads_than_cores() -> None:
    try:
        assert product_on_threads(200) == product_on_threads(1)
    finally:
        library.set_threads(1)


@pytest.mark.parametrize("n", [16_384, 73_729, 1_150_007])
def test_every_part_is_done_once_however_many_there_are(n: int) -> None:
    x = np.random.default_rng(n).standard_normal(n).astype(np.float32)
    expected = functions.exp(x).tobytes()
    try:
        for n_threads in (2, 3, 8, 33, 300):
            library.set_threads(n_threads)
            out = np.zeros_like(x)
            for _ in range(20):
                functions.silu(x, out=out)  # leaves its own results where a part of the next is not done
                functions.exp(x, out=out)
                assert out.tobytes() == expected
    finally:
        library.set_threads(1)
