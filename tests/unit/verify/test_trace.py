from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from samebits.errors import RecordError
from samebits.verify.difference import Difference
from samebits.verify.trace import compare_traces, is_trace

MakeTrace = Callable[..., bytes]


def from_step(first: int, change: Callable[[Any], Any]) -> Callable[[int, Any], Any]:
    return lambda step, value: change(value) if step >= first else value


def other_digest(digest: str) -> str:
    return digest[::-1]


def compared(golden: bytes, candidate: bytes) -> Difference:
    difference = compare_traces(golden, candidate, "trace.jsonl")
    assert difference is not None
    return difference


def test_same(make_chained_trace: MakeTrace) -> None:
    assert compare_traces(make_chained_trace(), make_chained_trace(), "trace.jsonl") is None


@pytest.mark.parametrize(
    ("changes", "fields", "words"),
    [
        (
            {"gradients_sha256": other_digest, "parameters_sha256": other_digest},
            ["gradients_sha256", "parameters_sha256"],
            "the backward pass moved first: the loss is still the same",
        ),
        ({"parameters_sha256": other_digest}, ["parameters_sha256"], "the optimizer's update moved first"),
        ({"optimizer_sha256": other_digest}, ["optimizer_sha256"], "the optimizer's state moved first"),
        (
            {"loss": lambda loss: math.nextafter(loss, 9), "gradients_sha256": other_digest},
            ["loss", "gradients_sha256"],
            "the forward pass moved first: up to there the parameters were the same",
        ),
        ({"grad_norm": lambda norm: norm * 2}, ["grad_norm"], "the gradients are still the same"),
        ({"learning_rate": lambda rate: rate * 2}, ["learning_rate"], "the schedule gave another learning rate"),
        ({"sample_ids": lambda ids: ids[::-1], "loss": lambda loss: loss + 1}, ["sample_ids", "loss"], "other samples"),
        ({"token_sha256": other_digest}, ["token_sha256"], "other tokens"),
    ],
)
def test_known_difference_names_step_fields_and_order(
    make_chained_trace: MakeTrace, changes: dict[str, Any], fields: list[str], words: str
) -> None:
    candidate = make_chained_trace(**{name: from_step(3, change) for name, change in changes.items()})
    difference = compared(make_chained_trace(), candidate)
    assert difference.note.startswith("step 3 of 5 is the first that differs; ")
    assert words in difference.note
    (step,) = difference.children
    assert step.where == "step 3"
    assert [child.where for child in step.children] == fields
    assert difference.facts["n_different_steps"] == 3


def test_a_loss_is_told_with_its_distance(make_chained_trace: MakeTrace) -> None:
    candidate = make_chained_trace(loss=from_step(1, lambda loss: math.nextafter(loss, 9)))
    (step,) = compared(make_chained_trace(), candidate).children
    assert (step.children[0].where, step.children[0].note) == ("loss", "1 ULP")


def test_first_step_points_at_the_start(make_chained_trace: MakeTrace) -> None:
    candidate = make_chained_trace(loss=from_step(1, lambda loss: loss + 1))
    assert "the adapter's first values (seed, LoRA settings)" in compared(make_chained_trace(), candidate).note


def test_length(make_chained_trace: MakeTrace) -> None:
    longer, shorter = make_chained_trace(5), make_chained_trace(3)
    assert compared(longer, shorter).note == "the candidate ends early: 3 steps for 5, the first 3 are the same"
    assert compared(shorter, longer).note == "the candidate goes on: 5 steps for 3, the first 3 are the same"


def test_damaged_chain_is_told_as_edited(make_chained_trace: MakeTrace) -> None:
    golden = make_chained_trace()
    lines = golden.split(b"\n")
    exchanged = b"\n".join([lines[1], lines[0], *lines[2:]])
    difference = compared(golden, exchanged)
    assert difference.kind == "chain"
    assert "changed after the run" in difference.note
    assert "lines 1 and 2 are exchanged" in difference.children[0].note


def test_a_golden_that_is_no_trace_is_refused(make_chained_trace: MakeTrace) -> None:
    with pytest.raises(RecordError, match="line 1"):
        compare_traces(b'{"step":1}\n', make_chained_trace(), "trace.jsonl")


def test_a_trace_is_known_by_name_or_content(make_chained_trace: MakeTrace) -> None:
    assert is_trace("golden/trace.jsonl", b"")
    assert is_trace("other.jsonl", make_chained_trace().split(b"\n")[0])
    assert not is_trace("generations.jsonl", b'{"prompt":"gradients"}')
