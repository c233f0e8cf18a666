"""How many characters or items a filter of Jinja, or a method of a text, would add, told before it is run.

Only what makes much out of a number or of a repeated text is here; every figure is an upper bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _indent(text: str, width: int | str = 4, *_: Any, **__: Any) -> int:
    return (len(text.splitlines()) + 1) * (len(width) if isinstance(width, str) else width)


def _wrap(
    text: str,
    width: int = 79,  # noqa: ARG001 (Jinja's own order and names, here and below)
    break_long_words: bool = True,  # noqa: ARG001
    wrapstring: str | None = None,
    *_: Any,
    **__: Any,
) -> int:
    return len(text) * len(wrapstring or "")


def _pad(_text: Any, width: int = 80, *_: Any) -> int:
    return width


def _expand_tabs(text: str, tabsize: int = 8) -> int:
    return text.count("\t") * tabsize


def _replace(text: Any, old: str, new: str, *_: Any, **__: Any) -> int:
    return str(text).count(old) * len(new)


def _join(value: Any, d: Any = "", *_: Any, **__: Any) -> int:
    # The filter has the items first, the method the text between them.
    items, between = (d, value) if isinstance(value, str) and not isinstance(d, str) else (value, d)
    if not hasattr(items, "__len__"):
        # A generator goes over a range at most, which the sandbox bounds.
        return 100_000 * len(between)
    return len(items) * len(between) + sum(len(item) for item in items if isinstance(item, str))


def _fill(_value: Any, n: int = 0, *_: Any, **values: Any) -> int:
    return int(values.get("linecount", values.get("slices", n)))


def _to_json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: ARG001
    indent: int | None = None,
    *_: Any,
    **__: Any,
) -> int:
    return (indent or 0) * _n_indents(value, 0)


def _n_indents(value: Any, depth: int) -> int:
    items = list(value.values()) if isinstance(value, dict) else value
    return 2 * depth + (sum(_n_indents(item, depth + 1) for item in items) if isinstance(items, (list, tuple)) else 0)


GROWTHS: dict[str, Callable[..., int]] = {
    "indent": _indent, "wordwrap": _wrap, "center": _pad, "ljust": _pad, "rjust": _pad, "zfill": _pad,
    "expandtabs": _expand_tabs, "replace": _replace, "join": _join, "batch": _fill, "slice": _fill, "tojson": _to_json,
}  # fmt: skip
"""By the name of a filter or a method; called with the value first, then the arguments as a template wrote them."""
