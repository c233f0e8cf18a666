from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from samebits.record.operations import Header, OperationTrace, Output, output_of
from samebits.verify.operations import compare_outputs, first_different_output, name_of

HEADER = Header("op", 1, "stock", None, "AVX2", 1, {}, "0" * 64, "1" * 64)
VALUES = np.arange(6, dtype=np.float32).reshape(2, 3) + 1


def output(n: int, operation: str = "linear", values: Any = VALUES, **place: Any) -> Output:
    told = {"phase": "forward", "module": "h.0", "sample": 3, "output": 0, **place}
    return output_of(values, n, operation=operation, **told)


def trace(outputs: Sequence[Output]) -> OperationTrace:
    return OperationTrace(HEADER, tuple(outputs))


def test_equal_traces_have_no_difference() -> None:
    assert first_different_output(trace([output(1)]), trace([output(1)])) is None


def test_the_first_value_that_differs_is_found_and_all_are_counted() -> None:
    moved = VALUES.copy()
    moved.view("u4")[1, 2] += 3
    ours, theirs = (trace([output(1), output(2, values=v), output(3, "add", v)]) for v in (VALUES, moved))
    found = first_different_output(ours, theirs)
    assert found is not None
    assert (found.kind, found.output.n, found.n_same, found.n_different) == ("value", 2, 1, 2)
    elements = compare_outputs(found, lambda _: VALUES, lambda _: moved)
    assert elements is not None
    facts = [elements.facts[key] for key in ("first_index", "n_different", "n_elements", "ulp_distance")]
    assert facts == [[1, 2], 1, 6, 3]
    assert (elements.golden, elements.candidate) == ("0x1.8p+2", "0x1.800006p+2")
    assert compare_outputs(found, lambda _: VALUES, lambda _: None) is None


def test_one_bfloat16_bit_counts_as_one_ulp() -> None:
    # bfloat16 travels as its bits, which the line tells to be BF16.
    bits = np.array([0x3F80, 0x3F81], np.uint16)
    ours, theirs = (Output(1, "forward", "", "linear", None, 0, "BF16", (1,), str(n) * 64) for n in (1, 2))
    found = first_different_output(trace([ours]), trace([theirs]))
    assert found is not None
    elements = compare_outputs(found, lambda _: bits[:1], lambda _: bits[1:])
    assert elements is not None
    assert elements.facts["ulp_distance"] == 1


@pytest.mark.parametrize(
    ("other", "kind"),
    [
        (output(2, "matmul"), "operation"),
        (output(2, module="h.1"), "operation"),
        (output(2, phase="backward"), "operation"),
        (output(2, sample=None), "operation"),
        (output(2, values=VALUES[:1]), "shape"),
        (output(2, values=VALUES.astype(np.float64)), "shape"),
    ],
)
def test_another_operation_in_its_place_is_no_other_value(other: Output, kind: str) -> None:
    found = first_different_output(trace([output(1), output(2)]), trace([output(1), other]))
    assert found is not None
    assert (found.kind, found.n_same, found.candidate) == (kind, 1, other)
    assert compare_outputs(found, lambda _: VALUES, lambda _: VALUES) is None


def moved(n: int, **place: Any) -> Output:
    return output(n, values=VALUES + 1, **place)


def test_other_operations_that_reach_no_bit_are_passed() -> None:
    masks = [output(1, "zeros", module="mask")], [output(1, "ones", module="mask"), output(2, "neg", module="mask")]
    ours, theirs = (trace([*mask, output(len(mask) + 1), *rest]) for mask, rest in zip(masks, ([], []), strict=True))
    found = first_different_output(ours, theirs)
    assert found is None
    ours = trace([*ours.outputs, output(3, "sdpa", module="attn"), output(4, module="proj")])
    theirs = trace([*theirs.outputs, output(4, "softmax", module="attn"), moved(5, module="proj")])
    found = first_different_output(ours, theirs)
    assert found is not None
    assert (found.kind, found.output.module) == ("operation", "attn")


def test_a_value_before_other_operations_of_its_module_comes_first() -> None:
    found = first_different_output(trace([output(1), output(2, "a")]), trace([moved(1), output(2, "b")]))
    assert found is not None
    assert (found.kind, found.output.n) == ("value", 1)


def test_a_trace_that_goes_on_is_told() -> None:
    found = first_different_output(trace([output(1)]), trace([output(1), output(2, "add")]))
    assert found is not None
    assert (found.kind, found.golden, found.output.operation) == ("length", None, "add")


def test_an_output_in_words() -> None:
    assert name_of(output(1)) == "linear in h.0, sample 3"
    assert name_of(output(1, module="", sample=None, output=1)) == "linear (output 1)"
