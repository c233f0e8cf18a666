"""Settings and logits that do not fit are refused in one sentence; tests/spec/test_n24.py holds choices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics.random import Purpose, Stream
from samebits.numerics.sampling import Sampling, next_token

STREAM = Stream(0, Purpose.SAMPLING)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"temperature": -1.0}, "`temperature` must be 0 or more, got -1.0 (N-24)"),
        ({"top_k": -1}, "`top_k` must be 0 or more, got -1 (N-24)"),
        ({"top_p": 1.5}, "`top_p` must be from 0 to 1, got 1.5 (N-24)"),
        ({"min_p": float("nan")}, "`min_p` must be from 0 to 1, got nan (N-24)"),
        ({"repetition_penalty": 0.0}, "`repetition_penalty` must be above 0, got 0.0 (N-24)"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(NumericsError) as refused:
        Sampling(**settings)
    assert str(refused.value) == sentence


def test_bad_logits_and_tokens_are_refused() -> None:
    logits = np.zeros(3, dtype=np.float32)
    with pytest.raises(NumericsError, match="there must be 1 to 8388608 logits, got 0"):
        next_token(logits[:0], Sampling(), STREAM, position=0)
    with pytest.raises(NumericsError, match="tokens must have a logit, got -1 to 3 of 3"):
        next_token(logits, Sampling(repetition_penalty=2.0), STREAM, position=0, seen=[3, -1])


def test_logits_are_not_modified() -> None:
    logits = np.array([1, 2, 3], dtype=np.float32)
    next_token(logits, Sampling(0.7, 2, 0.9, 0.1, 1.3), STREAM, position=5, seen=[0, 2])
    assert logits.tolist() == [1, 2, 3]
