from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from samebits.verify.difference import EXIT_CODES, Comparison, Difference, Verdict, worst_verdict

PROVEN = Difference("bytes", "x", "00", "01")
OPEN = Difference("refused", "y", is_proven=False)


def comparison(difference: Difference | None) -> Comparison:
    return Comparison(Path("golden"), Path("candidate"), difference)


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        (None, "same"),
        (PROVEN, "different"),
        (OPEN, "undecided"),
        (Difference("run", "", children=(OPEN,)), "undecided"),
        (Difference("run", "", children=(OPEN, PROVEN)), "different"),
        (Difference("unreadable", "recipe.json", children=(PROVEN,), is_proven=False), "undecided"),
    ],
)
def test_verdict_follows_from_the_tree(difference: Difference | None, verdict: str) -> None:
    assert comparison(difference).verdict == verdict


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([None], "same"),
        ([None, OPEN], "undecided"),
        ([OPEN, PROVEN, None], "different"),
        ([PROVEN, OPEN], "different"),
    ],
)
def test_one_candidate_that_differs_decides(differences: list[Difference | None], verdict: Verdict) -> None:
    assert worst_verdict([comparison(difference) for difference in differences]) == verdict


def test_exit_codes_are_those_of_the_manual() -> None:
    assert EXIT_CODES == {"same": 0, "different": 1, "undecided": 2}


def test_document_holds_the_whole_tree_and_is_json() -> None:
    child = Difference("value", "k", math.inf, None, "n", {"path": Path("p"), "shape": (1, 2)})
    document = comparison(Difference("run", "", children=(child, OPEN))).as_document()
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text)["difference"]["children"] == [
        {
            "kind": "value", "where": "k", "golden": "inf", "candidate": None, "note": "n",
            "facts": {"path": "p", "shape": [1, 2]},
        },
        {"kind": "refused", "where": "y", "is_proven": False},
    ]  # fmt: skip
