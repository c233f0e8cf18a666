from __future__ import annotations

import json

import pytest

from samebits.data.template_growth import GROWTHS


@pytest.mark.parametrize(
    ("name", "arguments", "n_at_least"),
    [
        ("indent", ("a\nb\nc", 5), 10), ("indent", ("a\nb", "xyz"), 3), ("center", ("a", 7), 7),
        ("expandtabs", ("\t\t", 4), 8), ("replace", ("aa", "a", "bbb"), 6), ("join", (["a", "bc"], "-"), 4),
        ("join", ("-", ["a", "bc"]), 4), ("batch", ([1], 6, 0), 6), ("wordwrap", ("abc", 1, True, "--"), 4),
        ("tojson", ([{"a": [1, 2]}], False, 3), json.dumps([{"a": [1, 2]}], indent=3).count(" ") - 1),
    ],
)  # fmt: skip
def test_a_figure_is_an_upper_bound_and_near(name: str, arguments: tuple[object, ...], n_at_least: int) -> None:
    assert n_at_least <= GROWTHS[name](*arguments) <= 2 * n_at_least + 6


def test_ordinary_arguments_add_little() -> None:
    messages = [{"role": "user", "content": "hi"}] * 10
    assert GROWTHS["tojson"](messages) == 0
    assert GROWTHS["tojson"](messages, indent=2) < 1000
