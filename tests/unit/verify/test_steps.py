from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from samebits.canonical.digests import sha256_bytes
from samebits.record.trace import read_trace
from samebits.verify.steps import content, first_different_step, sample_changes

Trace = list[dict[str, Any]]


@pytest.fixture
def make(make_chained_trace: Callable[..., bytes]) -> Callable[..., Trace]:
    return lambda n_steps=5, **changes: read_trace(make_chained_trace(n_steps, **changes), "trace")


@pytest.mark.parametrize("first", range(1, 101))
def test_the_first_step_is_found_by_halves(first: int, make: Callable[..., Trace]) -> None:
    found = first_different_step(make(100), make(100, grad_norm=lambda step, norm: norm + (step == first)))
    assert found is not None
    assert (found.step, found.field, found.n_steps) == (first, "grad_norm", (100, 100))
    assert found.n_looked_at <= 7


def test_equal_traces_have_none_and_neither_have_prefixes(make: Callable[..., Trace]) -> None:
    assert first_different_step(make(), make()) is None
    assert first_different_step(make(5), make(3)) is None


def test_fields_come_in_the_order_of_the_step(make: Callable[..., Trace]) -> None:
    moved = {name: lambda step, _, name=name: sha256_bytes(f"{name}{step}".encode()) for name in
             ("parameters_sha256", "gradients_sha256")}  # fmt: skip
    found = first_different_step(make(), make(**moved))
    assert found is not None
    assert [field.where for field in found.fields] == ["gradients_sha256", "parameters_sha256"]
    assert found.field == "gradients_sha256"


def test_the_first_step_with_other_parameters_may_be_a_later_one(make: Callable[..., Trace]) -> None:
    rate: dict[str, Any] = {"learning_rate": lambda step, rate: rate + (step == 2)}
    found = first_different_step(make(), make(**rate))
    assert found is not None
    assert (found.step, found.parameters_step) == (2, None)
    moved: dict[str, Any] = {"parameters_sha256": lambda step, old: "f" * 64 if step >= 4 else old}
    found = first_different_step(make(), make(**rate, **moved))
    assert found is not None
    assert (found.step, found.parameters_step) == (2, 4)


def test_the_place_in_the_chain_is_no_content(make: Callable[..., Trace]) -> None:
    ours, theirs = make(), make(loss=lambda step, loss: loss + (step == 1))
    assert ours[1] != theirs[1]
    assert content(ours[1]) == content(theirs[1])
    assert content(ours[0]) != content(theirs[0])


def _tokens(**names: str) -> Callable[[int, Any], list[str]]:
    """Samples 2 to 11, two a step, each with tokens of its own but for those that are named."""
    return lambda step, _: [sha256_bytes(names.get(f"s{s}", str(s)).encode()) for s in (2 * step, 2 * step + 1)]


def with_tokens(make: Callable[..., Trace], **names: str) -> Trace:
    trace = make()
    for record in trace:
        record["sample_tokens_sha256"] = _tokens(**names)(record["step"], None)
    return trace


def test_samples_that_were_exchanged_are_told_from_one_that_was_changed(make: Callable[..., Trace]) -> None:
    ours = with_tokens(make)
    found = sample_changes(ours, with_tokens(make, s3="8", s8="3"), None)
    assert (found.changed, found.exchanged, found.n_common) == ((3, 8), ((3, 8),), 10)
    found = sample_changes(ours, with_tokens(make, s5="other"), None)
    assert (found.changed, found.exchanged) == ((5,), ())


def test_gradients_of_single_samples_are_told_where_both_engines_tell_them(make: Callable[..., Trace]) -> None:
    ours, theirs = make(), make()
    assert sample_changes(ours, theirs, 2).gradients is None
    ours[1]["sample_gradients_sha256"], theirs[1]["sample_gradients_sha256"] = ["a", "b"], ["a", "c"]
    assert sample_changes(ours, theirs, 2).gradients == (5,)
