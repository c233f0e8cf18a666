"""Random streams (N-10): any word is computable alone from where it is used; no state is kept."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.observation import observed
from samebits.numerics.philox import Words

VERSION = 1
ELEMENT_LIMIT = 2**42
_LIMITS = {"seed": 2**64, "purpose": 2**8, "step": 2**24, "sample": 2**32, "tensor": 2**16}


class Purpose(IntEnum):
    """What is drawn; no two uses share a word."""

    DROPOUT = 1
    ATTENTION_DROPOUT = 2
    INITIALISATION = 3
    BASE_DROPOUT = 4
    SAMPLING = 5


@dataclass(frozen=True)
class Stream:
    """The words of one tensor in one sample at one step (N-10).

    Args:
        seed: from 0, below 2**64.
        purpose: what is drawn.
        step: optimizer updates made before this one, below 2**24.
        sample: the sample's row in its dataset, below 2**32.
        tensor: index among sorted names, below 2**16.
    Raises:
        NumericsError: a field is outside its limits.
    """

    seed: int
    purpose: Purpose
    step: int = 0
    sample: int = 0
    tensor: int = 0

    def __post_init__(self) -> None:
        for name, limit in _LIMITS.items():
            field = getattr(self, name)
            if not 0 <= field < limit:
                must = f"`{name}` of a random stream must be from 0 to 2^{limit.bit_length() - 1} - 1"
                raise NumericsError(must, got=str(field), where="N-10")

    @cached_property
    def fields(self) -> Words:
        """The key's two words and the counter's words 1 to 3, as kernels take them: bits 24 on of word 2 are left 0."""
        place = VERSION << 24 | self.purpose << 16 | self.tensor
        key = (self.seed & 0xFFFFFFFF, self.seed >> 32)
        return np.array([*key, self.sample, self.step, place], dtype=np.uint32)

    @cached_property
    def address(self) -> int:
        """Where `fields` lie."""
        address: int = self.fields.__array_interface__["data"][0]
        return address


def check_elements(first: int, n: int, *, where: str) -> None:
    """Refuse elements outside a stream."""
    if first < 0 or first + n > ELEMENT_LIMIT:
        got = f"{first} to {first + n}"
        raise NumericsError("elements of a random stream must be from 0 to 2^42 - 1", got=got, where=where)


@observed()
def words(stream: Stream, n: int, *, first: int = 0) -> Words:
    """Return the words of `n` elements of a stream.

    Bits: N-10.

    Args:
        first: the number of the first element.
    Returns:
        [n] uint32, newly allocated.
    Raises:
        NumericsError: an element is outside the stream.
    """
    check_elements(first, n, where="words, N-10")
    out = np.empty(n, dtype=np.uint32)
    arguments = (n, stream.address, first, out.__array_interface__["data"][0], library.threads())
    library.loaded().call("sb_random_words", *arguments)
    return out
