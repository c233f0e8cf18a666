"""Find the native libraries, choose one by what the processor can do, and prove it by its canaries before use."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from samebits.errors import NumericsError
from samebits.numerics.build import LIBRARIES, PLATFORMS, host_platform, library_path, sources_sha256
from samebits.numerics.ops import OPS

ISA_VARIABLE = "SAMEBITS_ISA"
BUILD_COMMAND = "python -m samebits.numerics.build"

# From plain to best; `sb_processor` tells by these bits what the processor has beyond the first of its platform.
ISAS = ("baseline", "neon", "avx2", "avx512", "amx")
_PROCESSOR_BITS = {"avx2": 1, "avx512": 2, "amx": 4}

_lock = threading.Lock()
_loaded: Library | None = None
_n_threads = 1


class Kernels(Protocol):
    """What operations run on: a native library, or the reference (numerics/reference)."""

    @property
    def isa(self) -> str:
        """Its name."""

    @property
    def sources(self) -> str:
        """The digest of what it is made from."""

    @property
    def path(self) -> Path | None:
        """Its file, where it is one."""

    @property
    def functions(self) -> Any:
        """A function for each symbol of ops.py."""

    def call(self, symbol: str, *arguments: float | None) -> None:
        """Call one of them; raise MemoryError where it found no scratch."""


class Library:
    """One native library, loaded.

    Args:
        path: the file.
        sources: the digest of sources and flags that it must be built from; None takes any.
    """

    def __init__(self, path: Path, *, sources: str | None = None) -> None:
        self.path = path
        try:
            self.functions = ctypes.CDLL(str(path))
        except OSError as error:
            raise NumericsError(
                "the native library must load", got=str(error), where=str(path), remedy=f"run `{BUILD_COMMAND}`"
            ) from None
        for name in ("sb_isa", "sb_sources"):
            getattr(self.functions, name).restype = ctypes.c_char_p
        self.isa = self.functions.sb_isa().decode()
        self.sources = self.functions.sb_sources().decode()
        if sources is not None and self.sources != sources:
            raise NumericsError(
                f"the native library must be built from these sources ({sources[:12]})",
                got=self.sources[:12],
                where=str(path),
                remedy=f"run `{BUILD_COMMAND}`",
            )
        for op in OPS:
            symbol = getattr(self.functions, op.symbol)
            symbol.argtypes, symbol.restype = op.arguments, op.returns

    def call(self, symbol: str, *arguments: float | None) -> None:
        """Call a kernel; raise MemoryError where it found no scratch."""
        if getattr(self.functions, symbol)(*arguments):
            raise MemoryError(f"no memory for the scratch of {symbol}")


def set_threads(n_threads: int) -> None:
    """Let every later kernel use up to `n_threads` threads; this reaches no bit."""
    global _n_threads  # noqa: PLW0603 - execution, like the library itself, belongs to the process
    if n_threads < 1:
        raise NumericsError("the number of threads must be 1 or more", got=str(n_threads))
    _n_threads = n_threads


def threads() -> int:
    """Return how many threads kernels may use."""
    return _n_threads


def runnable_isas(folder: Path | None = None) -> tuple[str, ...]:
    """Return the instruction sets that this processor can run and whose libraries are there, from plain to best."""
    folder = folder or LIBRARIES
    platform = host_platform()
    if platform not in PLATFORMS:
        return ()
    named = [isa for isa in ISAS if isa in PLATFORMS[platform].zig_processors]
    found = [isa for isa in named if library_path(isa, platform=platform, folder=folder).is_file()]
    can = _processor_bits(library_path(named[0], platform=platform, folder=folder)) if named[0] in found else 0
    return tuple(isa for isa in found if isa not in _PROCESSOR_BITS or can & _PROCESSOR_BITS[isa])


def open_library(isa: str | None = None, *, folder: Path | None = None) -> Library:
    """Load the library of an instruction set, by default the best that runs here, and check its canaries.

    Raises:
        NumericsError: there is no such library, this processor cannot run it, it is stale, or a canary differs.
    """
    from samebits.numerics.canaries.check import check_canaries

    platform = host_platform()
    if platform not in PLATFORMS:
        raise NumericsError("the platform must be one of " + ", ".join(PLATFORMS), got=platform)
    folder = folder or LIBRARIES
    runnable = runnable_isas(folder)
    if isa is not None and isa not in PLATFORMS[platform].zig_processors:
        known = ", ".join(PLATFORMS[platform].zig_processors)
        raise NumericsError(f"the instruction set must be one of {known}", got=repr(isa), where=ISA_VARIABLE)
    wanted = isa or (runnable[-1] if runnable else next(iter(PLATFORMS[platform].zig_processors)))
    path = library_path(wanted, platform=platform, folder=folder)
    if not path.is_file():
        raise NumericsError(
            "the native library must be built", got="no file", where=str(path), remedy=f"run `{BUILD_COMMAND}`"
        )
    if wanted not in runnable:
        raise NumericsError(
            "the instruction set must be one that this processor has: " + ", ".join(runnable),
            got=wanted,
            where=ISA_VARIABLE,
        )
    library = Library(path, sources=sources_sha256())
    with using(library):
        check_canaries()
    return library


def loaded() -> Kernels:
    """Return the library that kernels run on, chosen at the first call: SAMEBITS_ISA, else the best that runs here."""
    global _loaded  # noqa: PLW0603 - one library for the process, loaded once
    if _override.library is not None:
        return _override.library
    if _loaded is None:
        with _lock:
            if _loaded is None:
                _loaded = open_library(os.environ.get(ISA_VARIABLE) or None)
    return _loaded


class _Override(threading.local):
    library: Kernels | None = None


_override = _Override()


K = TypeVar("K", bound=Kernels)


@contextmanager
def using(library: K) -> Iterator[K]:
    """Run this thread's kernels on `library` inside the block."""
    before, _override.library = _override.library, library
    try:
        yield library
    finally:
        _override.library = before


def _processor_bits(baseline: Path) -> int:
    try:
        functions = ctypes.CDLL(str(baseline))
    except OSError:
        return 0
    functions.sb_processor.restype = ctypes.c_uint32
    return int(functions.sb_processor())
