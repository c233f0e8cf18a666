"""Every kernel tells its results to the observer of a step, with the module, direction and sample they belong to."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from samebits.numerics import elementwise, norms, observation, ops, optimizer, reductions
from samebits.numerics.arrays import F32
from samebits.numerics.attention import Sight, attention, attention_backward
from samebits.numerics.observation import Array, Place, observing, of_sample

ONES = np.ones((2, 3), np.float32)


class Listener:
    """Keeps copies of what it is told."""

    def __init__(self) -> None:
        self.operations: list[tuple[Place, str, list[Array]]] = []
        self.modules: list[tuple[Place, str, list[Array]]] = []

    def on_operation(self, place: Place, operation: str, arrays: list[Array]) -> None:
        self.operations.append((place, operation, [np.array(array) for array in arrays]))

    def on_module(self, place: Place, kind: str, arrays: list[Array]) -> None:
        self.modules.append((place, kind, [np.array(array) for array in arrays]))

    @property
    def told(self) -> list[tuple[str, list[tuple[int, ...]]]]:
        return [(name, [array.shape for array in arrays]) for _, name, arrays in self.operations]


class Doubling:
    def __init__(self, name: str) -> None:
        self.name = name

    @observation.forward
    def forward(self, x: F32) -> tuple[F32, str]:
        return elementwise.add(x, x), "kept"

    @observation.backward
    def backward(self, dy: F32) -> F32:
        self.forward(dy)
        return elementwise.add(dy, dy)

    @observation.forward
    def fail(self) -> None:
        raise ValueError


@pytest.fixture
def listener() -> Listener:
    return Listener()


def test_every_function_of_the_table_that_makes_arrays_is_observed() -> None:
    names = {op.function for op in ops.OPS if not op.function.rpartition(".")[2].startswith("pack")}
    assert len(names) > 50
    for module, _, function in (name.partition(".") for name in names):
        found = getattr(importlib.import_module(f"samebits.numerics.{module}"), function)
        assert hasattr(found, "__wrapped__"), f"{module}.{function}"


def test_nobody_is_told_outside_the_block(listener: Listener) -> None:
    elementwise.add(ONES, ONES)
    with observing(listener):
        elementwise.add(ONES, ONES)
    elementwise.add(ONES, ONES)
    assert listener.told == [("add", [(2, 3)])]
    assert listener.operations[0][0] == Place("update", "", None)


def test_all_results_are_told_and_scalars_and_what_is_only_written(listener: Listener) -> None:
    tensors = optimizer.FlatTensors({"a": (3,)})
    flat = [np.full(3, value, np.float32) for value in (1, 4, 0, 0)]
    with observing(listener):
        norms.layer_norm(ONES, eps=2.0**-10)
        reductions.sum(ONES)
        optimizer.gradient_norm(flat[1], tensors, n_targets=2)
        optimizer.adamw(*flat, optimizer.adamw_scalars(optimizer.AdamW(), learning_rate=0.5, step=0))
    assert listener.told == [
        ("layer_norm", [(2, 3), (2,), (2,)]),
        ("sum", [(2,)]),
        ("gradient_norm", [(), (3,)]),
        ("adamw", [(3,), (3,), (3,)]),
    ]
    norm, mean = listener.operations[2][2]
    assert (norm.dtype, mean.tolist()) == (np.float32, [2, 2, 2])
    assert [array.tolist() for array in listener.operations[3][2]] == [
        flat[0].tolist(),
        *(a.tolist() for a in flat[2:]),
    ]


def test_attention_tells_its_statistics_where_they_are_wanted(listener: Listener) -> None:
    q = np.ones((4, 2, 8), np.float32)
    statistics = np.empty((2, 2, 4), np.float32)
    with observing(listener):
        attention(q, q, q, Sight(0.5))
        out = attention(q, q, q, Sight(0.5), statistics=statistics)
        attention_backward(q, q, q, q, out, statistics, Sight(0.5))
    shapes: Any = [q.shape]
    assert listener.told == [
        ("attention", shapes), ("attention", [*shapes, (2, 2, 4)]), ("attention_backward", shapes * 3),
    ]  # fmt: skip


def test_places_nest_and_come_back(listener: Listener) -> None:
    outer, inner = Doubling("outer"), Doubling("outer.inner")
    with observing(listener):
        with of_sample(7):
            outer.forward(ONES)
            inner.backward(ONES)
        elementwise.add(ONES, ONES)
    assert [place for place, _, _ in listener.operations] == [
        Place("forward", "outer", 7),
        Place("forward", "outer.inner", 7),
        Place("backward", "outer.inner", 7),
        Place(),
    ]
    assert [(place, kind, len(arrays)) for place, kind, arrays in listener.modules] == [
        (Place("forward", "outer", 7), "Doubling", 1),
        (Place("forward", "outer.inner", 7), "Doubling", 1),
        (Place("backward", "outer.inner", 7), "Doubling", 1),
    ]


def test_an_error_leaves_no_place_behind(listener: Listener) -> None:
    with observing(listener):
        with pytest.raises(ValueError), of_sample(3):  # noqa: PT011 (it has no text)
            Doubling("broken").fail()
        elementwise.add(ONES, ONES)
    assert [place for place, _, _ in listener.operations] == [Place()]
    assert listener.modules == []


def test_a_module_without_a_name_is_not_told(listener: Listener) -> None:
    with observing(listener):
        Doubling("").forward(ONES)
    assert listener.modules == []
    assert listener.operations[0][0] == Place("forward", "", None)
