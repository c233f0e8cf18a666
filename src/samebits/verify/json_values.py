"""Two JSON values, key by key; numbers by their bits."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from samebits.verify.difference import Difference
from samebits.verify.floats import bits_of, short_hex, ulp_distance

MAX_CHILDREN = 1000


def compare_json(golden: Any, candidate: Any, where: str = "") -> Difference | None:
    """Compare two values as read from JSON; None where they are the same value, whatever the order of keys.

    `1` and `1.0` are one number, as in JSON itself; 0.0 and -0.0 are two.

    Args:
        golden: nested at most as deep as `canonical.json_bytes.load_json` allows.
        candidate: the same.
        where: name of the value within its parent.
    """
    if isinstance(golden, dict) and isinstance(candidate, dict):
        return _compare_objects(golden, candidate, where)
    if isinstance(golden, list) and isinstance(candidate, list):
        return _compare_lists(golden, candidate, where)
    if _is_number(golden) and _is_number(candidate):
        return _compare_numbers(golden, candidate, where)
    names = _type_name(golden), _type_name(candidate)
    if names[0] != names[1]:
        return Difference("value", where, golden, candidate, f"{names[0]} became {names[1]}")
    if golden == candidate:
        return None
    facts = _hex_text_facts(golden, candidate)
    return Difference("value", where, golden, candidate, _ulp_note(facts), facts)


def is_same_order(golden: Any, candidate: Any) -> bool:
    """Say whether two equal values list their keys in the same order."""
    if isinstance(golden, dict) and isinstance(candidate, dict):
        return list(golden) == list(candidate) and all(is_same_order(golden[key], candidate[key]) for key in golden)
    if isinstance(golden, list) and isinstance(candidate, list):
        return all(is_same_order(ours, theirs) for ours, theirs in zip(golden, candidate, strict=True))
    return True


def _compare_objects(golden: dict[str, Any], candidate: dict[str, Any], where: str) -> Difference | None:
    return _parent(where, _object_differences(golden, candidate))


def _object_differences(golden: dict[str, Any], candidate: dict[str, Any]) -> Iterator[Difference]:
    for key, value in golden.items():
        if key not in candidate:
            yield Difference("missing", key, value, None, "the candidate lacks this key")
        elif (child := compare_json(value, candidate[key], key)) is not None:
            yield child
    for key, value in candidate.items():
        if key not in golden:
            yield Difference("extra", key, None, value, "the golden has no such key")


def _compare_lists(golden: list[Any], candidate: list[Any], where: str) -> Difference | None:
    difference = _parent(where, _list_differences(golden, candidate))
    if difference is not None and _is_reordered(golden, candidate):
        return Difference("reordered", where, golden, candidate, "the same items in another order")
    return difference


def _list_differences(golden: list[Any], candidate: list[Any]) -> Iterator[Difference]:
    for index, (ours, theirs) in enumerate(zip(golden, candidate, strict=False)):
        if (child := compare_json(ours, theirs, f"[{index}]")) is not None:
            yield child
    n_common = min(len(golden), len(candidate))
    for index, item in enumerate(golden[n_common:], start=n_common):
        yield Difference("missing", f"[{index}]", item, None, "the candidate lacks this item")
    for index, item in enumerate(candidate[n_common:], start=n_common):
        yield Difference("extra", f"[{index}]", None, item, "the golden has no such item")


def _is_reordered(golden: list[Any], candidate: list[Any]) -> bool:
    # `repr` tells 1 from True and 0.0 from -0.0, which `==` does not.
    return sorted(map(repr, golden)) == sorted(map(repr, candidate))


def _parent(where: str, differences: Iterator[Difference]) -> Difference | None:
    children = tuple(islice(differences, MAX_CHILDREN))
    if not children:
        return None
    n_more = sum(1 for _ in differences)
    note = f"{n_more:,} more differences are not listed" if n_more else ""
    return Difference("value", where, note=note, children=children)


def _compare_numbers(golden: int | float, candidate: int | float, where: str) -> Difference | None:
    if golden == candidate and (golden != 0 or _is_negative_zero(golden) == _is_negative_zero(candidate)):
        return None
    if isinstance(golden, int) and isinstance(candidate, int):
        return Difference("value", where, golden, candidate)
    if golden == candidate:
        return Difference("sign of zero", where, golden, candidate, "only the sign of zero differs")
    facts = _float_facts(golden, candidate)
    note = f"{_ulp_note(facts)} ({facts['golden_hex']} and {facts['candidate_hex']})" if facts else ""
    return Difference("value", where, golden, candidate, note, facts)


def _float_facts(golden: int | float, candidate: int | float) -> dict[str, Any]:
    try:
        ours, theirs = float(golden), float(candidate)
    except OverflowError:
        return {}
    ulp = ulp_distance("F64", bits_of(ours), bits_of(theirs))
    return {"golden_hex": short_hex(ours), "candidate_hex": short_hex(theirs), "ulp_distance": ulp}


def _hex_text_facts(golden: Any, candidate: Any) -> dict[str, Any]:
    """Floats travel through our files as hex text: these have a distance too."""
    if not (isinstance(golden, str) and isinstance(candidate, str) and "0x" in golden[:3] and "0x" in candidate[:3]):
        return {}
    try:
        return _float_facts(float.fromhex(golden), float.fromhex(candidate))
    except (ValueError, OverflowError):
        return {}


def _ulp_note(facts: dict[str, Any]) -> str:
    return f"{facts['ulp_distance']:,} ULP" if facts else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_negative_zero(value: int | float) -> bool:
    return isinstance(value, float) and value.hex().startswith("-0x0.0p")


def _type_name(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true or false"
    names: dict[type, str] = {str: "text", dict: "an object", list: "a list"}
    return names.get(type(value), "a number")
