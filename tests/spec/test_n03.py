"""N-03: zeros and infinities by hand; what a NaN stands beside; and a run that stops being finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from samebits.data.order import plan_steps
from samebits.errors import NonFiniteError
from samebits.models.families import adapt
from samebits.models.inputs import Inputs, find_inputs
from samebits.numerics import elementwise, functions, losses, norms, products, reductions, softmax
from samebits.numerics.arrays import F32
from samebits.numerics.library import Library
from samebits.recipe.reader import settings_from
from samebits.recipe.settings import Settings
from samebits.training.portable import take_step
from samebits.training.state import begin

INF, LARGEST, LEAST = math.inf, float(np.finfo(np.float32).max), 2.0**-149
# Quiet and signalling, of either sign, with and without a payload.
NANS = (0x7FC00000, 0xFFC00000, 0x7FFFFFFF, 0x7F800001, 0xFFA5A5A5)


def f32(*numbers: float) -> F32:
    return np.array(numbers, dtype=np.float32)


def bits(array: F32) -> list[int]:
    found: list[int] = np.ascontiguousarray(array).view(np.uint32).ravel().tolist()
    return found


@pytest.mark.parametrize(
    ("operation", "x", "y", "expected"),
    [
        (
            elementwise.add,
            (1.5, -LEAST, -0.0, 0.0, -0.0, 0.0),
            (-1.5, LEAST, -0.0, -0.0, 0.0, 0.0),
            (0, 0, -0.0, 0, 0, 0),
        ),
        (elementwise.sub, (1.5, -0.0, 0.0, -0.0, 0.0), (1.5, 0.0, 0.0, -0.0, -0.0), (0, -0.0, 0, 0, 0)),
        (elementwise.mul, (-0.0, -0.0, 0.0, 0.0), (2, -2, -2, -0.0), (-0.0, 0, -0.0, -0.0)),
        (elementwise.div, (0.0, -0.0, -0.0, 1, -1), (-3, 3, -3, -INF, -INF), (-0.0, -0.0, 0, -0.0, 0)),
        (elementwise.add, (INF, INF, -INF, LARGEST), (-LARGEST, INF, 1, LARGEST), (INF, INF, -INF, INF)),
        (elementwise.mul, (INF, INF, -INF, LARGEST), (LEAST, -1, -INF, -2), (INF, -INF, INF, -INF)),
        (elementwise.div, (INF, 1, 1, -1, INF), (-LEAST, 0.0, -0.0, 0.0, -0.0), (-INF, INF, -INF, -INF, -INF)),
    ],
    ids=["x + y", "x - y", "x * y", "x / y", "infinite x + y", "infinite x * y", "infinite x / y"],
)
def test_zeros_and_infinities_are_as_ieee_754_has_them(
    native: Library,
    operation: Callable[[F32, F32], F32],
    x: tuple[float, ...],
    y: tuple[float, ...],
    expected: tuple[float, ...],
) -> None:
    # Many times over, so that every lane and the rest of a row meet each pair.
    assert bits(operation(np.tile(f32(*x), 33), np.tile(f32(*y), 33))) == 33 * bits(f32(*expected))


@pytest.mark.parametrize(
    ("x", "y", "z", "expected"),
    [
        # An exact product whose sum with z is exactly 0.
        (3, 5, -15, 0.0),
        (-0.0, 1, -0.0, -0.0),
        (-0.0, 1, 0.0, 0.0),
        (0.0, 0.0, -0.0, 0.0),
        # What vanishes keeps its sign, whatever zero is added: the exact sum is below 0.
        (-LEAST, LEAST, -0.0, -0.0),
        (-LEAST, LEAST, 0.0, -0.0),
        # The product alone would be infinite.
        (LARGEST, 2, -LARGEST, LARGEST),
        (INF, -LEAST, LARGEST, -INF),
        (LARGEST, LARGEST, -INF, -INF),
    ],
)
def test_zeros_and_infinities_of_an_fma(native: Library, x: float, y: float, z: float, expected: float) -> None:
    many = [np.full(37, number, dtype=np.float32) for number in (x, y, z)]
    assert bits(elementwise.fma(*many[:2], out=many[2])) == 37 * bits(f32(expected))


def test_infinities_pass_through_chains_lanes_and_functions(native: Library) -> None:
    row = f32(*range(100))
    row[70] = -INF
    column, matrix = np.ones((100, 3), dtype=np.float32), row.reshape(1, -1)
    assert bits(products.mm(matrix, column)) == bits(f32(-INF, -INF, -INF))
    assert bits(reductions.sum(matrix)) == bits(f32(-INF))
    assert bits(reductions.dot(matrix, -np.ones_like(matrix))) == bits(f32(INF))
    assert bits(reductions.amax(matrix)) == bits(f32(99))
    assert bits(elementwise.sqrt(f32(INF, -0.0))) == bits(f32(INF, -0.0))
    assert bits(functions.exp(f32(-INF, INF))) == bits(f32(0, INF))
    assert bits(functions.log(f32(0, -0.0, INF))) == bits(f32(-INF, -INF, INF))
    # An excluded token has no weight, and the others have all of it.
    assert bits(softmax.softmax(f32(7, -INF, 7)[None])) == bits(f32(0.5, 0, 0.5))


@cache
def _numbers(*shape: int) -> F32:
    made = np.random.default_rng(shape).standard_normal(shape).astype(np.float32)
    made.flags.writeable = False
    return made


ROWS: dict[str, Callable[[F32], F32]] = {
    "mm": lambda x: products.mm(x, _numbers(70, 21)),
    "linear": lambda x: products.linear(x, products.pack(_numbers(21, 70), layout="nk")),
    "sum": lambda x: reductions.sum(x)[:, None],
    "amax": lambda x: reductions.amax(x)[:, None],
    "layer_norm": lambda x: norms.layer_norm(x, eps=1.0)[0],
    "rms_norm": lambda x: norms.rms_norm(x, eps=1.0)[0],
    "softmax": softmax.softmax,
    "log_softmax": softmax.log_softmax,
    "cross_entropy": lambda x: losses.cross_entropy_backward(x, np.arange(len(x)))[1],
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_with_a_nan_leaves_the_others_as_they_are(native: Library, name: str) -> None:
    sound, others = ROWS[name](_numbers(9, 70)), [1, 2, 3, 5, 6, 7, 8]
    for nan in NANS:
        x = _numbers(9, 70).copy()
        x.view(np.uint32)[[0, 4], [0, 69]] = nan
        assert bits(ROWS[name](x)[others]) == bits(sound[others])


POINTS: dict[str, Callable[[F32], F32]] = {
    "add": lambda x: elementwise.add(x, _numbers(70)),
    "div": lambda x: elementwise.div(x, _numbers(70)),
    "fma": lambda x: elementwise.fma(x, _numbers(70), out=_numbers(70).copy()),
    "exp": functions.exp,
    "log": lambda x: functions.log(np.abs(x)),
    "sin": functions.sin,
    "tanh": functions.tanh,
    "gelu": functions.gelu,
    "silu": functions.silu,
    "a column of mm": lambda x: products.mm(_numbers(3, 5), np.tile(x, (5, 1)))[2],
}


@pytest.mark.parametrize("name", POINTS)
def test_an_element_that_is_a_nan_leaves_the_others_as_they_are(native: Library, name: str) -> None:
    sound, others = POINTS[name](_numbers(70)), np.delete(np.arange(70), [3, 69])
    for nan in NANS:
        x = _numbers(70).copy()
        x.view(np.uint32)[[3, 69]] = nan
        assert bits(POINTS[name](x)[others]) == bits(sound[others])


def test_a_nan_that_a_clause_does_not_read_reaches_nothing(native: Library) -> None:
    """What an output held, and the logits of a row without a target."""
    a, b = _numbers(3, 70), _numbers(70, 21)
    held = np.full((3, 21), np.nan, dtype=np.float32)
    assert bits(products.mm(a, b, out=held)) == bits(products.mm(a, b))
    logits = np.full((1, 70), np.nan, dtype=np.float32)
    loss, gradient = losses.cross_entropy_backward(logits, np.array([losses.NO_TARGET]))
    assert [bits(loss), bits(gradient)] == [[0], [0] * 70]


@cache
def _inputs() -> tuple[Settings, Inputs]:
    settings = settings_from({"numerics": "portable-f32", "lora_r": 4, "lora_alpha": 4e6, "threads": 1}, where="test")
    return settings, find_inputs(settings)


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("a", "b", "learning_rate", "sentence"),
    [
        # The low-rank product of 1e38 and the scale of 10^6.
        (1e38, 1e38, 1e-4, r"the loss must be finite, got (nan|inf) \(step 2\)"),
        # An A of zeros keeps B out of the loss, but B multiplies A's gradient.
        (
            0.0,
            1e38,
            1e-4,
            r"every gradient must be finite, got .* \(step 2, gradient of base_model\..*\.lora_A\.weight\)",
        ),
        (None, None, 1e39, r"every parameter must be finite, got .* \(step 2, parameter of base_model\..*\.weight\)"),
        (None, None, 1e-4, None),
    ],
    ids=["loss", "gradient", "parameter", "none"],
)
def test_a_run_that_stops_being_finite_names_step_and_tensor(
    native: Library, a: float | None, b: float | None, learning_rate: float, sentence: str | None
) -> None:
    settings, inputs = _inputs()
    adapted = adapt(inputs.base, settings)
    for name, parameter in adapted.parameters.items():
        number = a if ".lora_A." in name else b
        if number is not None:
            parameter[...] = number
    samples = inputs.data.train.samples
    plan = plan_steps(len(samples), settings)[1]
    settings = settings.model_copy(update={"learning_rate": learning_rate})

    def step() -> None:
        take_step(begin(adapted), plan, samples, settings, n_steps=6)

    if sentence is None:
        step()
        return
    with pytest.raises(NonFiniteError, match=sentence):
        step()
