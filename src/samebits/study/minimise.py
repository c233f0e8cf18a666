"""From several changes that together make a difference to the few, normally one, that make it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TypeVar

Part = TypeVar("Part")


def minimise(parts: Sequence[Part], differs: Callable[[Sequence[Part]], bool]) -> list[Part]:
    """Return a part of `parts` that makes the difference and none of whose pieces tried does.

    Halves are tried first, then ever smaller pieces and what is left without them. One change to blame is found after
    about twice as many runs as `parts` can be halved.

    Args:
        parts: known to make the difference together.
        differs: runs some of them, in their order.
    Source: Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, IEEE TSE 28(2), 2002 (ddmin).
    """
    kept, n_pieces = list(parts), 2
    while len(kept) > 1:
        pieces = _split(kept, n_pieces)
        rests = [[part for part in kept if part not in piece] for piece in pieces] if n_pieces > 2 else []
        if (found := next(filter(differs, pieces), None)) is not None:
            kept, n_pieces = found, 2
        elif (found := next(filter(differs, rests), None)) is not None:
            kept, n_pieces = found, max(n_pieces - 1, 2)
        elif n_pieces < len(kept):
            n_pieces = min(2 * n_pieces, len(kept))
        else:
            break
    return kept


def _split(parts: Sequence[Part], n_pieces: int) -> list[list[Part]]:
    ends = [len(parts) * number // n_pieces for number in range(n_pieces + 1)]
    return [list(parts[start:end]) for start, end in itertools.pairwise(ends) if end > start]
