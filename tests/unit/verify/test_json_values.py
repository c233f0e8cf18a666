from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samebits.verify import json_values
from samebits.verify.difference import Difference
from samebits.verify.json_values import compare_json, is_same_order

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=3), children, max_size=4),
    max_leaves=15,
)


def leaves(node: Difference | None) -> list[tuple[str, str, Any, Any]]:
    assert node is not None
    if not node.children:
        return [(node.kind, node.where, node.golden, node.candidate)]
    return [leaf for child in node.children for leaf in leaves(child)]


@given(VALUES)
def test_same(value: Any) -> None:
    assert compare_json(value, json.loads(json.dumps(value))) is None


@given(VALUES, VALUES)
def test_a_difference_is_found_exactly_where_the_spelling_differs(golden: Any, candidate: Any) -> None:
    def spelled(value: Any) -> str:
        # A whole float and its integer are one number in JSON.
        if isinstance(value, float) and value.is_integer() and not repr(value).startswith("-0"):
            value = int(value)
        if isinstance(value, dict):
            return "{" + ",".join(f"{key!r}:{spelled(value[key])}" for key in sorted(value)) + "}"
        return "[" + ",".join(map(spelled, value)) + "]" if isinstance(value, list) else repr(value)

    assert (compare_json(golden, candidate) is None) == (spelled(golden) == spelled(candidate))


def test_known_differences_by_key() -> None:
    golden = {"a": {"b": [1, {"c": "x"}]}, "gone": 1, "same": None}
    candidate = {"a": {"b": [2, {"c": "y"}, 3]}, "same": None, "new": [1]}
    assert leaves(compare_json(golden, candidate)) == [
        ("value", "[0]", 1, 2),
        ("value", "c", "x", "y"),
        ("extra", "[2]", None, 3),
        ("missing", "gone", 1, None),
        ("extra", "new", None, [1]),
    ]


@pytest.mark.parametrize(
    ("golden", "candidate", "note"),
    [
        (1.0, 1.0000000000000002, "1 ULP (0x1p+0 and 0x1.0000000000001p+0)"),
        (0.0, -0.0, "only the sign of zero differs"),
        (0, -0.0, "only the sign of zero differs"),
        ("0x1.8p+0", "0x1.8000000000001p+0", "1 ULP"),
        ("0xyz", "0x1p+0", ""),
        (True, 1, "true or false became a number"),
        (None, False, "null became true or false"),
        ("1", 1, "text became a number"),
        ([], {}, "a list became an object"),
        (10**400, 1.5, ""),
    ],
)
def test_values_that_look_alike_are_told_apart(golden: Any, candidate: Any, note: str) -> None:
    difference = compare_json(golden, candidate)
    assert difference is not None
    assert difference.note == note


def test_one_number_has_one_value_however_it_is_written() -> None:
    assert compare_json(1, 1.0) is None


def test_reordered_list_is_told_as_one() -> None:
    difference = compare_json({"k": ["a", "b", 0]}, {"k": ["b", 0, "a"]})
    assert difference is not None
    assert [(child.kind, child.where) for child in difference.children] == [("reordered", "k")]
    assert leaves(compare_json([1, True], [True, 1]))[0][0] == "reordered"
    assert leaves(compare_json([1, 1], [True, 1]))[0][0] == "value"


def test_order_of_keys() -> None:
    golden, candidate = {"a": [{"b": 1, "c": 2}], "d": 1}, {"a": [{"c": 2, "b": 1}], "d": 1}
    assert compare_json(golden, candidate) is None
    assert is_same_order(golden, golden)
    assert not is_same_order(golden, candidate)


def test_a_flood_of_differences_is_counted_and_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_values, "MAX_CHILDREN", 3)
    difference = compare_json(list(range(10)), [value + 100 for value in range(10)])
    assert difference is not None
    assert (len(difference.children), difference.note) == (3, "7 more differences are not listed")
