"""The canary of sampled tokens: host code over kernels; each setting, equal logits, excluded ones and tokens seen."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from samebits.numerics.arrays import F32
from samebits.numerics.canaries.canary import Canary, pattern
from samebits.numerics.oracle import sampling as oracle
from samebits.numerics.oracle.random import Fields
from samebits.numerics.random import Purpose, Stream
from samebits.numerics.sampling import Sampling, next_token

N_LOGITS = 3 * 16 + 5
STREAM = Stream(0x0123456789ABCDEF, Purpose.SAMPLING, sample=0xDEADBEEF)
FIELDS = Fields(0x0123456789ABCDEF, 5, 0, 0xDEADBEEF, 0)
SEEN = (0, 4, 3, 17, 41, 34, 3, 40)
# Each stands beside the places of tokens where one setting less would choose another token.
SETTINGS = (
    (Sampling(), (0, 2**39)),
    (Sampling(temperature=0), (1,)),
    (Sampling(temperature=0, repetition_penalty=1.3), (2,)),
    (Sampling(temperature=0.7, repetition_penalty=1.3), (6, 12)),
    (Sampling(temperature=30.0, repetition_penalty=9.0), (183, 201)),
    (Sampling(top_k=5), (6, 8)),
    (Sampling(temperature=1.7, top_p=0.6), (9, 11)),
    (Sampling(temperature=1.7, min_p=0.3), (10, 11)),
    (Sampling(temperature=2.5, top_k=20, top_p=0.8, repetition_penalty=1.1), (92, 151)),
)


def choices() -> Iterator[tuple[Sampling, int]]:
    """Yield settings and the token's place."""
    for sampling, positions in SETTINGS:
        for position in positions:
            yield sampling, position


def logits() -> tuple[F32]:
    """Return logits of either sign, of which some are excluded; the largest two, and those about rank 5, are equal."""
    made = pattern(31, N_LOGITS, low=124, high=128)
    made[9::10] = -np.inf
    made[5::7] = 3.25
    made[[17, 46]] = 3.75
    return (made,)


def _tokens(row: F32) -> F32:
    tokens = [next_token(row, sampling, STREAM, position=place, seen=SEEN) for sampling, place in choices()]
    return np.array(tokens, dtype=np.uint32).view(np.float32)


def _tokens_answer(row: list[int]) -> list[int]:
    return [oracle.next_token(row, _exact(sampling), FIELDS, place, set(SEEN)) for sampling, place in choices()]


def _exact(sampling: Sampling) -> oracle.Settings:
    temperature, top_p, min_p, penalty = (
        Fraction(repr(float(number)))
        for number in (sampling.temperature, sampling.top_p, sampling.min_p, sampling.repetition_penalty)
    )
    return oracle.Settings(temperature, sampling.top_k, top_p, min_p, penalty)


CANARIES = (
    Canary(
        *("N-24", "next_token", logits, _tokens, _tokens_answer),
        "7d5093c3adf3e37212e7bb24855299b291db257b732ee041c5b29c8bda1500e0",
    ),
)
