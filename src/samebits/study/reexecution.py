"""A recorded run becomes a session on this machine, cut up as its own execution was, as far as this machine can."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from samebits.errors import RecordError, UsageError
from samebits.models.base import find_base
from samebits.numerics import library
from samebits.numerics.facts import library_facts
from samebits.recipe.settings import EMBEDDED, STOCK
from samebits.record.fingerprint import fingerprint
from samebits.study.rebuild import Sources, rebuild
from samebits.verify.bisection import AtHand
from samebits.verify.reruns import execution_of
from samebits.verify.session import Session
from samebits.verify.sides import Side

Facts = Mapping[str, Mapping[str, Any]]


class Reexecution:
    """Makes sessions of recorded runs; `verify.reruns.Rerunner`.

    Sets the number of threads of the kernels for the rest of the process.

    Args:
        sources: where the base and the data of each side lie, by the side's name.
        threads: for every session; as each run recorded it where left out.
        as_recorded: refuse a stock run of another instruction set than this process's; without, this machine is itself
            what is asked about, and executes it as it can.
    """

    def __init__(self, sources: Mapping[str, Sources], threads: int | None = None, *, as_recorded: bool = True) -> None:
        self.sources, self.threads, self.as_recorded = sources, threads, as_recorded
        self._facts: dict[str, Facts] = {}

    @contextmanager
    def begin(self, side: Side) -> Iterator[Session]:
        """Return a session before its first step.

        Raises:
            SamebitsError: the recipe, the base or the data cannot be had here, or the instruction set is not here.
        """
        if side.recipe is None:
            raise RecordError("a run must have a recipe to be executed again", where=str(side.path))
        told = execution_of(side)
        threads = self.threads or told.get("n_threads")
        is_stock = side.recipe.get("numerics") == STOCK
        kernels = nullcontext() if is_stock else _kernels(told.get("isa"))
        with kernels:
            if is_stock and self.as_recorded:
                _check_stock_isa(told.get("isa"))
            execution = {"threads": threads} if isinstance(threads, int) else {}
            yield rebuild(side.recipe, self.sources.get(side.name, Sources()), execution)

    def facts(self, side: Side) -> Facts:
        """Return what this machine would record beside a run of that recipe: `execution` and `env`."""
        numerics = str((side.recipe or {}).get("numerics"))
        if numerics not in self._facts:
            self._facts[numerics] = _stock_facts() if numerics == STOCK else _portable_facts(execution_of(side))
        return self._facts[numerics]


def at_hand(a: Sources, b: Sources, **folders: Any) -> AtHand:
    """Return which bases and data of two sides lie here to be compared, where both were named and are not the same.

    Args:
        folders: with operation traces, by the side's name.
    Raises:
        SamebitsError: what was named is not there.
    """
    from samebits.data.reader import find_files

    bases = data = None
    if (a.base, a.revision) != (b.base, b.revision):
        ours, theirs = (find_base(one.base or EMBEDDED, one.revision) for one in (a, b))
        bases = (ours.weight_files, theirs.weight_files) if ours.weights_sha256 != theirs.weights_sha256 else None
    if a.data != b.data:
        data = find_files(a.data or EMBEDDED)[0], find_files(b.data or EMBEDDED)[0]
    return AtHand(bases, data, {name: folder for name, folder in folders.items() if folder is not None})


@contextmanager
def _kernels(isa: Any) -> Iterator[None]:
    """Run on the library of the instruction set that a run recorded; on the best of this machine where it has no such.

    A library that is in use already (a test's, or that of SAMEBITS_ISA) stays: it is what is being examined.
    """
    used = library.loaded()
    if not isinstance(isa, str) or isa == used.isa or isa not in library.runnable_isas():
        # The portable arithmetic has the same bits on every instruction set, or that is what will be found.
        yield
        return
    with library.using(library.open_library(isa)):
        yield


def _check_stock_isa(isa: Any) -> None:
    from samebits.pytorch.extra import require_torch

    require_torch()
    from samebits.pytorch.facts import cpu_capability

    here = cpu_capability()
    if isinstance(isa, str) and isa != here:
        raise UsageError(
            f"stock kernels must run on {isa}, as the run did",
            got=here,
            remedy="set ATEN_CPU_CAPABILITY (default, avx2 or avx512), where this processor has it, and bisect again",
        )


def _portable_facts(told: Mapping[str, Any]) -> Facts:
    from samebits.training.execution import library_versions

    used = library.loaded()
    isa = told.get("isa") if told.get("isa") in library.runnable_isas() else used.isa
    execution = {"isa": isa, "n_threads": library.threads(), "libraries": library_versions(), "probes": {}}
    return {"execution": execution, "env": fingerprint({"numerics": library_facts()})}


def _stock_facts() -> Facts:
    from samebits.pytorch.execution import deciding_facts
    from samebits.pytorch.facts import torch_facts

    facts = torch_facts()
    return {"execution": deciding_facts(facts), "env": fingerprint({"torch": facts})}
