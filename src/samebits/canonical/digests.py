"""SHA-256 over bytes and listings of files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping


def sha256_bytes(data: bytes | memoryview) -> str:
    """Return the SHA-256 of `data` as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_listing(sha256_by_path: Mapping[str, str]) -> str:
    """Return the SHA-256 of a listing of files: one line `<sha256>  <path>` each, sorted by path bytes.

    The listing is what `sha256sum` prints, so `find golden -type f | LC_ALL=C sort | xargs sha256sum | sha256sum`
    in a run folder gives the same digest.
    """
    paths = sorted(sha256_by_path, key=lambda path: path.encode())
    return sha256_bytes("".join(f"{sha256_by_path[path]}  {path}\n" for path in paths).encode())
