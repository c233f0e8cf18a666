"""The installed Python distributions: version, and the digest of each one's list of its own files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from email.parser import HeaderParser
from importlib.metadata import Distribution, distributions
from typing import Any

from samebits.canonical.digests import sha256_bytes


def installed_distributions(found: Iterable[Distribution] | None = None) -> list[dict[str, Any]]:
    """Return every installed distribution, sorted by name: name, version, digest of its RECORD, editable or not.

    Where two have one name, Python imports the first on its path, and that one is listed. RECORD holds the digest of
    every installed file, so its digest tells two builds of one version apart; None where an installer wrote none.
    """
    by_name: dict[str, dict[str, Any]] = {}
    for distribution in distributions() if found is None else found:
        # `Distribution.metadata` raises different errors in different Pythons where an installation lost the file.
        text = _text(distribution, "METADATA") or _text(distribution, "PKG-INFO")
        metadata = HeaderParser().parsestr(text)
        if name := metadata["Name"]:
            key = re.sub(r"[-_.]+", "-", name).lower()
            by_name.setdefault(
                key,
                {
                    "name": key,
                    "version": metadata["Version"],
                    "record_sha256": _record_sha256(distribution),
                    "editable": _is_editable(distribution),
                },
            )
    return [by_name[key] for key in sorted(by_name)]


def _record_sha256(distribution: Distribution) -> str | None:
    # `read_text` would turn CRLF into LF, and the digest is that of the file as it is.
    folder = getattr(distribution, "_path", None)
    if folder is None:
        return None
    try:
        return sha256_bytes((folder / "RECORD").read_bytes())
    except (OSError, KeyError):
        # An archive on the path says KeyError.
        return None


def _text(distribution: Distribution, name: str) -> str:
    try:
        return distribution.read_text(name) or ""
    except (OSError, ValueError):
        # Not UTF-8: an installation that nobody can name is left out.
        return ""


def _is_editable(distribution: Distribution) -> bool:
    # Only this one fact is taken: the file's URL may hold credentials.
    try:
        origin = json.loads(_text(distribution, "direct_url.json") or "{}")
        return bool(origin.get("dir_info", {}).get("editable", False))
    except (ValueError, AttributeError):
        return False
