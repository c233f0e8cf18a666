"""What a fingerprint says of the native libraries: which one kernels run on here, and of which bytes and sources."""

from __future__ import annotations

import hashlib
from typing import Any

from samebits.errors import NumericsError
from samebits.numerics import library


def library_facts() -> dict[str, Any] | None:
    """Return the facts of the library that kernels run on in this process; None where none can be trusted here."""
    try:
        used = library.loaded()
    except NumericsError:
        return None
    return {
        "isa": used.isa,
        "library_sha256": None if used.path is None else hashlib.sha256(used.path.read_bytes()).hexdigest(),
        "sources_sha256": used.sources,
        "runnable_isas": list(library.runnable_isas()),
    }
