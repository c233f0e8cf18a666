"""Each logit that can be drawn and each setting counts; tests/spec holds the answers."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from samebits.numerics.canaries.canary import digest
from samebits.numerics.canaries.sampling import CANARIES, SEEN, STREAM, choices, logits
from samebits.numerics.sampling import Sampling, next_token


def test_the_operand_reaches_the_answer() -> None:
    (canary,) = CANARIES
    (row,) = canary.operands()
    row[0] = 1.0e30
    assert digest(canary.run(row)) != canary.sha256


def test_every_setting_chooses_another_token_than_its_default() -> None:
    (row,) = logits()
    defaults, set_once = asdict(Sampling()), set()
    for sampling, place in choices():
        token = next_token(row, sampling, STREAM, position=place, seen=SEEN)
        for name, setting in asdict(sampling).items():
            if setting != defaults[name]:
                less = Sampling(**{**asdict(sampling), name: defaults[name]})
                assert next_token(row, less, STREAM, position=place, seen=SEEN) != token
                set_once.add(name)
    assert set_once == set(defaults)


def test_logits_are_equal_where_an_order_must_tell() -> None:
    (row,) = logits()
    assert np.flatnonzero(row == row.max()).tolist() == [17, 46]
    # Top-k with k = 5 keeps three of these.
    assert (row == np.sort(row)[-5]).sum() > 3
