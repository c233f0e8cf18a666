"""JSON with one byte sequence per value (RFC 8785), and a reader that refuses what has two meanings."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

import rfc8785

from samebits.errors import RecordError

MAX_DEPTH = 64


def dump_json(value: Any) -> bytes:
    """Return `value` as canonical JSON followed by one line feed.

    Errors:
        rfc8785.CanonicalizationError: NaN, infinity, an integer beyond 2**53, a lone surrogate, a key that is no text.
    Source: RFC 8785 (JSON Canonicalization Scheme).
    """
    try:
        return bytes(rfc8785.dumps(value)) + b"\n"
    except UnicodeEncodeError as error:
        # The library says so itself of a text, but not of a key.
        raise rfc8785.CanonicalizationError(f"a key with a lone surrogate: {error}") from error


def load_json(data: bytes, *, where: str) -> Any:
    """Read one JSON value, refusing duplicate keys, NaN, infinities and deep nesting.

    Args:
        data: UTF-8 text; any layout, not only the canonical one.
        where: named in the error.
    Raises:
        RecordError: the bytes are not one JSON value with one meaning.
    """
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_refuse_duplicate_keys, parse_constant=_refuse, parse_float=_finite
        )
    except (ValueError, RecursionError) as error:
        raise RecordError("the file must be one JSON value in UTF-8", got=str(error), where=where) from error
    if _depth(value) > MAX_DEPTH:
        raise RecordError(f"JSON must nest at most {MAX_DEPTH} deep", where=where)
    return value


def _refuse_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} twice")
    return mapping


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text}, which no binary64 number is")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant}, which JSON does not have")


def _depth(value: Any) -> int:
    deepest, pending = 0, [(value, 1)]
    while pending:
        node, depth = pending.pop()
        deepest = max(deepest, depth)
        if isinstance(node, dict):
            pending.extend((child, depth + 1) for child in node.values())
        elif isinstance(node, list):
            pending.extend((child, depth + 1) for child in node)
    return deepest
