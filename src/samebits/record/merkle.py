"""Merkle trees: one digest that stands for a list, and a short proof that one entry is in it.

Source: RFC 6962, section 2.1; docs/spec/record.md, clause R-35.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

_LEAF, _NODE = b"\0", b"\1"


def merkle_root(entries: Sequence[bytes]) -> str:
    """Return the root over `entries` as hex digits; of none, the SHA-256 of nothing."""
    return _root(entries).hex()


def inclusion_proof(entries: Sequence[bytes], index: int) -> list[str]:
    """Return the digests that lead from entry `index` (from 0) to the root, the nearest first: its audit path."""
    if not 0 <= index < len(entries):
        raise IndexError(index)
    if len(entries) == 1:
        return []
    cut = _largest_power_below(len(entries))
    if index < cut:
        return [*inclusion_proof(entries[:cut], index), _root(entries[cut:]).hex()]
    return [*inclusion_proof(entries[cut:], index - cut), _root(entries[:cut]).hex()]


def root_of_proof(entry: bytes, index: int, n_entries: int, proof: Sequence[str]) -> str | None:
    """Return the root to which a proof leads; None where a list of `n_entries` has no such proof at `index`.

    Args:
        entry: the entry itself, not its digest.
        proof: hex digits, the nearest first.
    """
    if not 0 <= index < n_entries:
        return None
    digest, rest = _root([entry]), list(proof)
    for is_left in reversed(_turns(index, n_entries)):
        if not rest:
            return None
        sibling = bytes.fromhex(rest.pop(0))
        digest = _node(digest, sibling) if is_left else _node(sibling, digest)
    return None if rest else digest.hex()


def _turns(index: int, n_entries: int) -> list[bool]:
    """Return whether the way from the root down to an entry goes left, at each node."""
    turns = []
    while n_entries > 1:
        cut = _largest_power_below(n_entries)
        is_left = index < cut
        turns.append(is_left)
        index, n_entries = (index, cut) if is_left else (index - cut, n_entries - cut)
    return turns


def _root(entries: Sequence[bytes]) -> bytes:
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return hashlib.sha256(_LEAF + entries[0]).digest()
    cut = _largest_power_below(len(entries))
    return _node(_root(entries[:cut]), _root(entries[cut:]))


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(_NODE + left + right).digest()


def _largest_power_below(n: int) -> int:
    """Return the largest power of two below `n`, which is 2 or more."""
    return 1 << (n - 1).bit_length() - 1
