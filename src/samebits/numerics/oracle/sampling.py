"""Sampled tokens, by plain integers and lists (N-24)."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from fractions import Fraction

from samebits.numerics.oracle.binary32 import SIGN, div, greater, mul, parts, sub
from samebits.numerics.oracle.functions import exp
from samebits.numerics.oracle.random import Fields, nearest, word


@dataclass(frozen=True)
class Settings:
    """As `samebits.numerics.sampling.Sampling`, in rational numbers."""

    temperature: Fraction
    top_k: int
    top_p: Fraction
    min_p: Fraction
    repetition_penalty: Fraction


def next_token(logits: Sequence[int], settings: Settings, fields: Fields, position: int, seen: Set[int]) -> int:
    """Return the token at `position` (N-24)."""
    penalty = nearest(settings.repetition_penalty)
    scores = list(logits)
    for token in seen:
        negative = scores[token] >> 31 and scores[token] != SIGN
        scores[token] = mul(scores[token], penalty) if negative else div(scores[token], penalty)
    if settings.temperature == 0:
        return ranked(scores)[0]
    scores = [div(score, nearest(settings.temperature)) for score in scores]
    ranking = ranked(scores)
    weights = [integer_weight(exp(sub(score, scores[ranking[0]]))) for score in scores]
    kept = set(by_mass(ranking[: settings.top_k or len(ranking)], weights, settings.top_p))
    weights = [weight if token in kept else 0 for token, weight in enumerate(weights)]
    weights = [weight if weight >= settings.min_p * 2**40 else 0 for weight in weights]
    random_number = word(fields, 4 * position) * 2**32 + word(fields, 4 * position + 1)
    left = random_number * sum(weights) // 2**64
    for token, weight in enumerate(weights):
        left -= weight
        if left < 0:
            return token
    raise AssertionError("the weights' sum is above what is drawn below it")


def ranked(scores: Sequence[int]) -> list[int]:
    """Return tokens by falling score, equal ones by rising number."""
    ranking: list[int] = []
    for token, score in enumerate(scores):
        place = len(ranking)
        while place and greater(score, scores[ranking[place - 1]]):
            place -= 1
        ranking.insert(place, token)
    return ranking


def by_mass(ranking: Sequence[int], weights: Sequence[int], p: Fraction) -> list[int]:
    """Return the shortest beginning with the share p of all these weights, and one token at least."""
    if p == 1:
        return list(ranking)
    kept, mass, total = [], 0, sum(weights[token] for token in ranking)
    for token in ranking:
        kept.append(token)
        mass += weights[token]
        if mass >= p * total:
            break
    return kept


def integer_weight(weight: int) -> int:
    """Return the integer part of 2^40 times a float32 from 0 to 1."""
    _, mantissa, exponent = parts(weight)
    return int(mantissa * Fraction(2) ** (exponent + 40))
