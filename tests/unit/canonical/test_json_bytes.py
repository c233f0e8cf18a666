"""Canonical JSON: one byte sequence per value, and a reader that refuses two meanings."""

import json
import math

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from samebits.canonical.json_bytes import MAX_DEPTH, dump_json, load_json
from samebits.errors import RecordError


def test_rfc_8785_section_3_2_4_example() -> None:
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '€$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}\n'
    )
    assert dump_json(value) == expected.encode()


def test_key_order_does_not_reach_the_bytes() -> None:
    assert dump_json({"b": 1, "a": 2}) == dump_json({"a": 2, "b": 1}) == b'{"a":2,"b":1}\n'


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53 + 1, {1: 2}, "\ud800", {"\ud800": 1}])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(rfc8785.CanonicalizationError):
        dump_json(value)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
# From 2**53 on, RFC 8785 writes a float without a point and JSON reads it as a whole number it may not write.
FLOATS = st.floats(min_value=-(2**53) + 1, max_value=2**53 - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | FLOATS | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


@given(VALUES)
def test_round_trip(value: object) -> None:
    data = dump_json(value)
    assert dump_json(load_json(data, where="test")) == data
    assert json.loads(data) == value


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"a":1,"a":2}', "twice"),
        (b"NaN", "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"[1e999]", "1e999"),
        (b"\xff", "utf-8"),
        (b"{", "Expecting"),
        (b"", "Expecting"),
        (b"1 2", "Extra data"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "deep"),
        (b"[" * 200_000, "recursion"),
    ],
)
def test_rubbish_is_refused_in_one_sentence(data: bytes, said: str) -> None:
    with pytest.raises(RecordError, match=said) as caught:
        load_json(data, where="golden/recipe.json")
    assert "golden/recipe.json" in str(caught.value)
