"""Another tree, another order of the update, one more or one fewer rounding: each is caught by a canary."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from samebits.errors import NumericsError
from samebits.numerics import elementwise, library
from samebits.numerics.arrays import F32
from samebits.numerics.canaries.check import check_canaries
from samebits.numerics.library import Library
from samebits.numerics.sample_tree import SampleTree

Faulty = Callable[..., Library]


def refusal(faulty: Library) -> str:
    with library.using(faulty), pytest.raises(NumericsError) as refused:
        check_canaries()
    return str(refused.value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "x.parameter * splat(s.keep) - (x.mean / denominator) * splat(s.step_size)",
            "(x.parameter - (x.mean / denominator) * splat(s.step_size)) * splat(s.keep)",
        ),
        ("(x.mean / denominator) * splat(s.step_size)", "(x.mean * splat(s.step_size)) / denominator"),
        ("(g * g) * splat(s.rest2)", "g * (g * splat(s.rest2))"),
        ("x.mean * splat(s.beta1) + g * splat(s.rest1)", "fma(x.mean, splat(s.beta1), g * splat(s.rest1))"),
    ],
    ids=["decay after the step", "quotient last", "square last", "fma"],
)
def test_another_update_is_caught(faulty: Faulty, before: str, after: str) -> None:
    assert "`adamw` must give clause N-13's" in refusal(faulty(("optimizer.cpp", before, after)))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("e.load(gradient) / divisor;", "e.load(gradient) * (splat(1.0f) / divisor);"),
        ("job.squares[t] =", "job.squares[(t + 1) % job.n_tensors] ="),
    ],
    ids=["reciprocal", "tensors in another order"],
)
def test_another_norm_is_caught(faulty: Faulty, before: str, after: str) -> None:
    assert "`gradient_norm` must give clause N-13's" in refusal(faulty(("optimizer.cpp", before, after)))


def test_a_tree_from_left_to_right_is_caught(native_libraries: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_after_another(tree: SampleTree, leaf: F32, *, place: int | None = None) -> None:
        nodes = tree._nodes
        if nodes:
            elementwise.add(nodes[0, tree.n_samples], leaf, out=nodes[0, tree.n_samples])
        else:
            nodes[0, tree.n_samples] = leaf

    monkeypatch.setattr(SampleTree, "add", one_after_another)
    with pytest.raises(NumericsError, match="`sample_tree` must give clause N-11's"):
        check_canaries()


def test_a_rest_added_from_the_left_is_caught(native_libraries: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def from_the_left(tree: SampleTree) -> F32:
        total, *rest = (node for node, _, _ in tree.subtrees())
        for node in rest:
            total = elementwise.add(total, node)
        return total

    monkeypatch.setattr(SampleTree, "total", from_the_left)
    with pytest.raises(NumericsError, match="`sample_tree` must give clause N-11's"):
        check_canaries()
