"""The next token from logits (N-24): integer weights, so that no order of summation reaches the choice."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from samebits.errors import NonFiniteError, NumericsError
from samebits.numerics import elementwise, functions, random
from samebits.numerics.arrays import F32, check_contiguous, check_f32
from samebits.numerics.host_scalars import decimal_of, nearest_f32
from samebits.numerics.random import Stream

Weights = np.ndarray[Any, np.dtype[np.uint64]]
Tokens = np.ndarray[Any, np.dtype[np.int64]]
Ranks = np.ndarray[Any, np.dtype[np.int32]]
INFINITE_RANK = 0x7F800000
WEIGHT_ONE = 2**40
# The sum of all weights stays below 2^63.
MAX_TOKENS = 2**23


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen (N-24); the names are transformers', and the defaults choose among all tokens.

    Args:
        temperature: 0 takes the largest logit.
        top_k: 0 keeps all.
    Raises:
        NumericsError: a setting does not fit.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        for name, holds, must in (
            ("temperature", 0 <= self.temperature < math.inf, "0 or more"),
            ("top_k", self.top_k >= 0, "0 or more"),
            ("top_p", 0 <= self.top_p <= 1, "from 0 to 1"),
            ("min_p", 0 <= self.min_p <= 1, "from 0 to 1"),
            ("repetition_penalty", 0 < self.repetition_penalty < math.inf, "above 0"),
        ):
            if not holds:
                raise NumericsError(f"`{name}` must be {must}", got=repr(getattr(self, name)), where="N-24")


def next_token(logits: F32, sampling: Sampling, stream: Stream, *, position: int, seen: Iterable[int] = ()) -> int:
    """Choose a token.

    Bits: N-24.

    Args:
        logits: [V] float32, C-contiguous; not modified.
        stream: of purpose SAMPLING.
        position: the token's place in its unpadded sequence.
        seen: the tokens before it, which the repetition penalty meets.
    Raises:
        NumericsError: the logits do not fit, or one of `seen` is no token.
        NonFiniteError: a logit is NaN or +infinity, or all are -infinity; or they become so by penalty and temperature.
    """
    where = "next_token, N-24"
    check_f32("logits", logits, n_dims=1, where=where)
    check_contiguous("logits", logits, where=where)
    if not 0 < logits.size <= MAX_TOKENS:
        raise NumericsError(f"there must be 1 to {MAX_TOKENS} logits", got=str(logits.size), where=where)
    scores = _penalised(logits, sampling.repetition_penalty, seen)
    if sampling.temperature == 0:
        return int(np.argmax(_finite_ranks(scores)))
    temperature = nearest_f32(decimal_of(sampling.temperature))
    scores = elementwise.div(scores, np.full_like(scores, temperature))
    tokens = _top_k(_finite_ranks(scores), sampling.top_k)
    return int(tokens[_drawn(_weights(scores[tokens], sampling), stream, position)])


def _ranks(scores: F32) -> Ranks:
    """Return integers in the order of the scores; -0 and +0 are both 0.

    Not the floats themselves: what a comparison makes of subnormal ones is up to the thread's state (N-01).
    """
    bits = scores.view(np.int32)
    # All ones for a negative score. Its bits without the sign are its distance from 0: turned over, and up by one.
    negative = bits >> np.int32(31)
    ranks = negative & np.int32(0x7FFFFFFF)
    ranks ^= bits
    ranks -= negative
    return ranks


def _finite_ranks(scores: F32) -> Ranks:
    ranks = _ranks(scores)
    # NaNs of either sign rank beyond the infinities.
    if not -INFINITE_RANK < ranks.max() < INFINITE_RANK or ranks.min() < -INFINITE_RANK:
        must = "scores must be finite or -inf, and one of them finite"
        raise NonFiniteError(must, got=str(float(np.max(scores))), where="next_token, N-24")
    return ranks


def _penalised(logits: F32, penalty: float, seen: Iterable[int]) -> F32:
    if penalty == 1:
        return logits
    tokens = np.unique(np.fromiter(seen, dtype=np.int64))
    if tokens.size and (tokens[0] < 0 or tokens[-1] >= logits.size):
        got = f"{tokens[0]} to {tokens[-1]} of {logits.size}"
        raise NumericsError("tokens must have a logit", got=got, where="next_token, N-24")
    scores, chosen = logits.copy(), logits[tokens]
    factors = np.full_like(chosen, nearest_f32(decimal_of(penalty)))
    lower, higher = elementwise.mul(chosen, factors), elementwise.div(chosen, factors)
    scores[tokens] = np.where(_ranks(chosen) < 0, lower, higher)
    return scores


def _top_k(ranks: Ranks, k: int) -> Tokens:
    """Return, ascending, the tokens of the `k` highest ranks, of equal ones the lowest tokens; all for 0."""
    if k == 0 or k >= ranks.size:
        return np.arange(ranks.size)
    least = np.partition(ranks, ranks.size - k)[ranks.size - k]
    tokens = np.flatnonzero(ranks >= least)
    # Of those that are equal to the least, the last ones are too many.
    equal = np.flatnonzero(ranks[tokens] == least)
    return np.delete(tokens, equal[equal.size - (tokens.size - k) :])


def _weights(scores: F32, sampling: Sampling) -> Weights:
    """Return each token's weight, 0 where top-p or min-p leaves it out."""
    ranks = _ranks(scores)
    below = elementwise.sub(scores, np.full_like(scores, scores[np.argmax(ranks)]))
    # A product with a power of two is exact (of a subnormal weight nothing is left); then the fraction is cut.
    weights = (functions.exp(below) * np.float32(WEIGHT_ONE)).astype(np.uint64)
    if sampling.top_p < 1:
        # Stable: of equal scores the lower token comes first.
        ranking = np.argsort(-ranks, kind="stable")
        sums = np.cumsum(weights[ranking])
        mass = math.ceil(decimal_of(sampling.top_p) * int(sums[-1]))
        weights[ranking[int(np.searchsorted(sums, np.uint64(mass))) + 1 :]] = 0
    if sampling.min_p > 0:
        weights[weights < np.uint64(math.ceil(decimal_of(sampling.min_p) * WEIGHT_ONE))] = 0
    return weights


def _drawn(weights: Weights, stream: Stream, position: int) -> int:
    """Return the place of the weight that is drawn."""
    high, low = random.words(stream, 2, first=4 * position).tolist()
    sums = np.cumsum(weights)
    # A product of Python's integers: 127 bits.
    target = (high << 32 | low) * int(sums[-1]) >> 64
    return int(np.searchsorted(sums, np.uint64(target), side="right"))
