"""Settings that make no schedule are refused in one sentence; tests/spec/test_n13.py holds the rates."""

from __future__ import annotations

from typing import Any

import pytest

from samebits.errors import NumericsError
from samebits.numerics.schedules import Schedule


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"kind": "cosin"},
            "a schedule must be one of constant, constant_with_warmup, linear, cosine, .*, got 'cosin'",
        ),
        ({"peak": 0.0}, "a learning rate must be above 0, got 0.0"),
        ({"n_steps": -1}, "steps must be 0 or more"),
        ({"power": 0.0}, "`power` must be above 0, at most 1000, got 0.0"),
        ({"kind": "polynomial", "end": 1.0}, "`end` must be from 0 to below the peak, got 1.0"),
        ({"kind": "cosine_with_restarts", "n_cycles": 1.5}, "the cycles of restarts must be whole, got 1.5"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(NumericsError, match=sentence):
        Schedule(**({"kind": "linear", "peak": 1.0, "n_steps": 10} | settings))


def test_defaults_are_those_of_transformers() -> None:
    assert Schedule("cosine", 1.0, 8) == Schedule("cosine", 1.0, 8, 0, None, 1.0, 1e-7)
    assert Schedule("cosine", 1.0, 8).learning_rate(4) == Schedule("cosine", 1.0, 8, n_cycles=0.5).learning_rate(4)
    whole = Schedule("cosine_with_restarts", 1.0, 8, n_cycles=1)
    assert Schedule("cosine_with_restarts", 1.0, 8).learning_rate(5) == whole.learning_rate(5)


def test_warm_up_as_long_as_the_run() -> None:
    for kind in ("linear", "cosine", "polynomial"):
        schedule = Schedule(kind, 1.0, 4, 4)  # type: ignore[arg-type]
        assert [schedule.learning_rate(step) for step in range(4)] == [0.0, 0.25, 0.5, 0.75]
