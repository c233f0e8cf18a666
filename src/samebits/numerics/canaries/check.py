"""Hold the library in use against every canary."""

from __future__ import annotations

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.canaries import (
    attention,
    conversions,
    elementwise,
    functions,
    norms,
    optimizer,
    powers,
    products,
    products_bf16,
    random,
    reductions,
    rotary,
    sampling,
    softmax,
)

# In the order in which a difference is best named: a wrong state or fma reaches everything that follows.
CANARIES = (
    *elementwise.CANARIES,
    *products.CANARIES,
    *reductions.CANARIES,
    *functions.CANARIES,
    *powers.CANARIES,
    *norms.CANARIES,
    *softmax.CANARIES,
    *random.CANARIES,
    *sampling.CANARIES,
    *optimizer.CANARIES,
    *attention.CANARIES,
    *rotary.CANARIES,
    *conversions.CANARIES,
    *products_bf16.CANARIES,
)


def check_canaries() -> None:
    """Run every canary on the library in use, each on one thread and on two.

    Raises:
        NumericsError: an answer differs; nothing computed here can be trusted.
    """
    before = library.threads()
    try:
        for n_threads in (1, 2):
            library.set_threads(n_threads)
            for canary in CANARIES:
                actual = canary.actual_sha256()
                if actual != canary.sha256:
                    raise NumericsError(
                        f"`{canary.name}` must give clause {canary.clause}'s known answer {canary.sha256[:12]}",
                        got=actual[:12],
                        where=f"{library.loaded().isa}, {n_threads} threads",
                        remedy="set SAMEBITS_ISA=baseline; if that differs too, this machine computes wrongly",
                    )
    finally:
        library.set_threads(before)


def refusals() -> dict[str, NumericsError | None]:
    """Return, for each library that this processor can run, why it must not be used here; None where it may be."""
    found: dict[str, NumericsError | None] = {}
    for isa in library.runnable_isas():
        try:
            library.open_library(isa)
        except NumericsError as error:
            found[isa] = error
        else:
            found[isa] = None
    return found
