"""N-13: updates, clipping, scalars and learning rates, by hand or by arithmetic that shares nothing with ours."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

from samebits.errors import NonFiniteError
from samebits.numerics.arrays import F32
from samebits.numerics.library import Library
from samebits.numerics.optimizer import AdamW, FlatTensors, adamw, adamw_scalars, clip_factor, gradient_norm
from samebits.numerics.oracle import optimizer as oracle
from samebits.numerics.oracle import random as oracle_numbers
from samebits.numerics.oracle import schedules as oracle_schedules
from samebits.numerics.schedules import Schedule


def f32(*numbers: float) -> F32:
    return np.array(numbers, dtype=np.float32)


def hexed(array: F32) -> list[str]:
    return [float(number).hex() for number in array]


def test_the_first_update_by_hand(native: Library) -> None:
    # g = 4: m = 0.4, v = 0.016, both corrected m / sqrt(v) = 1: p moves by the rate, but for rounding.
    p, g, m, v = f32(1), f32(4), f32(0), f32(0)
    scalars = adamw_scalars(AdamW(), learning_rate=2.0**-10, step=0)
    assert hexed(scalars) == [
        *("0x1.0000000000000p+0", "0x1.ccccccp-1".replace("p", "0000000p"), "0x1.99999a0000000p-4"),
        *("0x1.ff7cee0000000p-1", "0x1.0624de0000000p-10"),
        # sqrt(1000) = 31.6227766016837933...; 2^-10 / 0.1 = 10 * 2^-10.
        *("0x1.f9f6e40000000p+4", "0x1.5798ee0000000p-27", "0x1.0000000000000p+0", "0x1.4000000000000p-7"),
    ]
    adamw(p, g, m, v, scalars)
    # 4 * 0x1.99999ap-4; 16 * 0x1.0624dep-10.
    assert (hexed(m), hexed(v)) == (["0x1.99999a0000000p-2"], ["0x1.0624de0000000p-6"])
    assert abs(float(p[0]) - (1 - 2.0**-10)) <= 2.0**-24


def test_decay_comes_before_the_step_and_apart_from_it(native: Library) -> None:
    p, g, m, v = f32(2), f32(0), f32(0), f32(0)
    adamw(p, g, m, v, adamw_scalars(AdamW(weight_decay=0.5), learning_rate=0.25, step=0))
    assert p.tolist() == [1.75]
    # m / d is 1 here: 2 * 0.5 - 1 * 0.5, not (2 - 0.5) * 0.5.
    p, g, m, v = f32(2), f32(1), f32(0), f32(0)
    adamw(p, g, m, v, f32(1, 0, 1, 0, 1, 1, 0, 0.5, 0.5))
    assert p.tolist() == [0.5]


def test_mean_norm_and_clipping_by_hand(native: Library) -> None:
    tensors = FlatTensors({"b": (2,), "a": (1, 1)})
    gradient = f32(6, 9, 12)
    # sqrt(2^2 + 3^2 + 4^2) = 5.3851648071...
    assert float(gradient_norm(gradient, tensors, n_targets=3)).hex() == "0x1.58a68a0000000p+2"
    assert gradient.tolist() == [2, 3, 4]
    assert list(tensors.views(gradient)) == ["a", "b"]
    assert clip_factor(0.5, 1.0) == 1.0
    # 3 + 10^-6 rounds to 3 + 2^-20; 1.5 / that is 0x1.fffff55...p-2.
    assert clip_factor(3.0, 1.5).hex() == "0x1.fffff60000000p-2"
    assert clip_factor(1e30, 0.0) == 1.0
    with pytest.raises(NonFiniteError, match="the gradient's norm must be finite, got inf"):
        clip_factor(float("inf"), 1.0)


def test_tensors_are_folded_one_by_one(native: Library) -> None:
    # In one row of 65 the last would meet the first in lane 0; as two tensors they meet at the end.
    values = f32(2.0**12, *[0] * 63, 1, 1)
    one_row, two_rows = FlatTensors({"a": (66,)}), FlatTensors({"a": (64,), "b": (2,)})
    assert gradient_norm(values.copy(), one_row) ** 2 == 2.0**24
    assert gradient_norm(values.copy(), two_rows) == np.sqrt(np.float32(2.0**24 + 2))


@pytest.mark.parametrize("step", [0, 1, 9, 99, 409, 410, 999, 4095, 20_000])
@pytest.mark.parametrize(("beta1", "beta2"), [(0.9, 0.999), (0.9, 0.95), (0.5, 0.75), (0.0, 0.36)])
def test_corrections_are_correctly_rounded(step: int, beta1: float, beta2: float) -> None:
    """Against whole rational powers, and roots by bisection among all float32."""
    settings = AdamW(beta1, beta2, weight_decay=0.01)
    exact = oracle.Settings(*(Fraction(text) for text in (str(beta1), str(beta2), "1e-8", "0.01")))
    actual = adamw_scalars(settings, learning_rate=1e-3, step=step, clip=0.75).view(np.uint32).tolist()
    assert actual == oracle.scalars(exact, Fraction(1e-3), step, 0x3F400000)


def test_repeated_multiplication_would_differ() -> None:
    """A power kept in binary32 from step to step gives other bits."""
    settings, power, differing = AdamW(), np.float32(1), 0
    for step in range(300):
        power *= np.float32(0.9)
        size = np.float32(1e-3) / (np.float32(1) - power)
        differing += adamw_scalars(settings, learning_rate=1e-3, step=step)[8] != size
    assert differing > 50


def test_a_million_steps_later() -> None:
    scalars = adamw_scalars(AdamW(0.9, 0.999999), learning_rate=1e-3, step=10**6 - 1)
    with localcontext(prec=60):
        correction = 1 / (1 - Decimal("0.999999") ** 10**6).sqrt()
    assert scalars[5] == np.float32(float(correction))
    assert scalars[8] == np.float32(1e-3)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (Schedule("constant", 1e-4, 10, warmup_steps=5), {0: 1e-4, 9: 1e-4}),
        (Schedule("constant_with_warmup", 1e-4, 10, 4), {0: 0.0, 1: 2.5e-5, 3: 7.5e-5, 4: 1e-4, 10: 1e-4}),
        (Schedule("linear", 1e-4, 10, 2), {0: 0.0, 1: 5e-5, 2: 1e-4, 4: 7.5e-5, 10: 0.0, 11: 0.0}),
        (Schedule("linear", 3e-4, 3), {0: 3e-4, 1: 2e-4, 2: 1e-4, 3: 0.0}),
        (Schedule("cosine", 1e-4, 6), {0: 1e-4, 2: 7.5e-5, 3: 5e-5, 4: 2.5e-5, 6: 0.0}),
        (Schedule("cosine_with_restarts", 1e-4, 12, n_cycles=2), {0: 1e-4, 2: 7.5e-5, 3: 5e-5, 6: 1e-4, 12: 0.0}),
        (Schedule("polynomial", 1e-4, 10, 2, power=2.0), {1: 5e-5, 2: 1e-4, 6: 2.5075e-5, 10: 1e-7, 12: 1e-7}),
        (Schedule("polynomial", 1e-4, 4, power=0.5, end=0.0), {0: 1e-4, 3: 5e-5}),
    ],
    ids=lambda given: given.kind if isinstance(given, Schedule) else "",
)
def test_rates_by_hand(schedule: Schedule, rates: dict[int, float]) -> None:
    """The decimal that the exact rate is, read by Python, is the binary64 number nearest to it."""
    assert {step: schedule.learning_rate(step) for step in rates} == rates


@pytest.mark.parametrize(
    ("kind", "cycles", "power"),
    [
        *(("cosine", 0.5, 1.0), ("cosine", 1.25, 1.0), ("cosine_with_restarts", 3, 1.0)),
        *(("polynomial", 1, 1.7), ("polynomial", 1, 0.3), ("polynomial", 1, 3.0)),
    ],
)
def test_rates_are_correctly_rounded(kind: str, cycles: float, power: float) -> None:
    """Against a hundred decimal digits, by other formulas for pi, cosine and powers."""
    schedule = Schedule(kind, 3e-4, 211, 10, n_cycles=cycles, power=power, end=1e-6)  # type: ignore[arg-type]
    for step in range(220):
        expected = oracle_schedules.learning_rate(
            kind,
            step,
            peak=Fraction("3e-4"),
            n_steps=211,
            warmup_steps=10,
            cycles=Fraction(repr(cycles)),
            power=Fraction(repr(power)),
            end=Fraction("1e-6"),
        )
        assert schedule.learning_rate(step) == expected, step


def test_the_oracles_pi_and_roots() -> None:
    assert str(oracle_schedules.pi())[:52] == "3.14159265358979323846264338327950288419716939937510"
    assert oracle_numbers.nearest_inverse_root(4) == 0x3F000000
    assert oracle.nearest_root(Fraction(2)) == 0x3FB504F3
