from __future__ import annotations

from pathlib import Path

from samebits.record.operations import Output
from samebits.report.bisection import render
from samebits.verify.bisection import Bisection
from samebits.verify.causes import Cause
from samebits.verify.difference import Difference
from samebits.verify.operations import OperationDifference
from samebits.verify.sides import Side
from samebits.verify.steps import FirstStep

SIDES = Side("A", Path("a")), Side("B", Path("b"))
FIRST = FirstStep(
    7, "loss", "the loss", "the forward pass moved first",
    (Difference("value", "loss", "0x1p+0", "0x1.8p+0", "9 ULP"),), 8, 5, (30, 30),
)  # fmt: skip
LINEAR = Output(12, "forward", "h.0.c_attn", "linear", 3, 0, "F32", (2, 3), "1" * 64)
ELEMENTS = Difference(
    "tensor", "linear", "0x1p-1", "0x1.000002p-1", "",
    {"first_index": [1, 2], "n_different": 2, "n_elements": 6, "ulp_distance": 1, "largest_ulp": 4},
)  # fmt: skip
CAUSE = Cause("library", "torch", "library versions differ (torch)", ("seen",), ("CPU",), ("make it the same",))


def test_the_same_is_short() -> None:
    assert render(Bisection(*SIDES, "same", remarks=("mind this",))) == "SAME  a and b\n  note: mind this\n"


def test_where_why_and_next_in_this_order() -> None:
    operation = OperationDifference("value", LINEAR, LINEAR, 11, 4, ELEMENTS)
    text = render(Bisection(*SIDES, "different", FIRST, samples=(3,), operation=operation, cause=CAUSE))
    assert text == (
        "DIFFERENT  a and b\n"
        "\n"
        "where\n"
        "  step       7 of 30 (the search looked at 5 lines)\n"
        "  field      the loss (loss): the forward pass moved first\n"
        "      A 0x1p+0   B 0x1.8p+0 (9 ULP)\n"
        "  parameters other after step 8\n"
        "  samples    3\n"
        "  module     h.0.c_attn\n"
        "  operation  12, forward: linear in h.0.c_attn, sample 3\n"
        "  tensor     F32 [2, 3]; the 11 outputs of the step before it have the same bits\n"
        "  element    [1, 2]: A 0x1p-1   B 0x1.000002p-1, 1 ULP apart\n"
        "  elements   2 of 6 differ, 4 ULP at most\n"
        "\n"
        "why      most likely: library\n"
        "  library versions differ (torch)\n"
        "  - seen\n"
        "  besides: CPU\n"
        "\n"
        "next: make it the same\n"
    )


def test_other_operations_are_told_on_both_sides() -> None:
    operation = OperationDifference("operation", LINEAR, None, 11, 1)
    text = render(Bisection(*SIDES, "different", FIRST, operation=operation, cause=CAUSE))
    assert "A ran linear in h.0.c_attn, sample 3, F32 [2, 3]\n" in text
    assert "B ran nothing more\n" in text


def test_an_operation_that_was_not_found_says_why() -> None:
    text = render(Bisection(*SIDES, "different", FIRST, operation_note="no trace", cause=CAUSE))
    assert "operation  not named: no trace\n" in text


def test_undecided_is_said_and_a_strangers_text_is_escaped() -> None:
    cause = Cause("undecided", "", "several\x1b[2J", others=("a", "b"))
    text = render(Bisection(Side("A", Path("a\nb")), Side("B", None), "different", file="x\ny", cause=cause))
    assert "DIFFERENT  a\\nb and this machine\n" in text
    assert "why      undecided\n  several\\x1b[2J\n  could also be: a; b\n" in text
    assert "file       x\\ny\n" in text


def test_lines_are_wrapped_on_a_terminal_only() -> None:
    cause = Cause("code", "x", "word " * 40)
    found = Bisection(*SIDES, "different", FIRST, cause=cause)
    assert max(map(len, render(found, width=60).splitlines())) <= 60
    assert max(map(len, render(found).splitlines())) > 150
