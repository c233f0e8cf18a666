"""A library whose functions have the kernels' C ABI and compute by the oracle: it proves the specification.

What is independent of every compiled kernel: each operation of ops.py. Its operands are read as bit patterns, computed
on as integers (samebits.numerics.oracle) with one rounding for each step of its clause, and written back.

What is shared with a run on compiled kernels, and not proved by this engine: the models' graphs and the training loop,
which say what is computed; the reading of data and weights; the functions that check arrays and hand their addresses
over; and scalars that the host computes once for a step or a recipe by exact rational arithmetic (host_scalars.py,
schedules.py, clipping, AdamW's nine scalars, rotary frequencies, the bounds of initial values, thresholds and factors
of dropout). tests/oracle and tests/spec hold those scalars against the oracle's own.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from samebits.numerics.reference import attention, norms, optimizer, pointwise, positions, products, random, rows

ISA = "reference"
_SOURCES = Path(__file__).parent, Path(__file__).parent.parent / "oracle"


class ReferenceLibrary:
    """Stands where a native library stands: `with library.using(reference_library()): ...`.

    Weights that it packs are its own to read, as with every library; threads are taken and not used.
    """

    isa = ISA
    path = None

    def __init__(self) -> None:
        modules = (attention, norms, optimizer, pointwise, positions, products, random, rows)
        self.functions: Any = SimpleNamespace(**{name: f for module in modules for name, f in module.KERNELS.items()})
        self.sources = _sources_sha256()

    def call(self, symbol: str, *arguments: float | None) -> None:
        """Compute one operation."""
        getattr(self.functions, symbol)(*arguments)


@cache
def reference_library() -> ReferenceLibrary:
    """Return the process's one reference library."""
    return ReferenceLibrary()


def _sources_sha256() -> str:
    """Return a digest of what decides this library's bits: the sources here and the oracle's."""
    files = sorted(path for folder in _SOURCES for path in folder.glob("*.py"))
    listing = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    return hashlib.sha256(listing.encode()).hexdigest()
