"""Bases with seeded weights: the same bits on every platform, any element computable alone.

A drawn element is built from integers. Block b of tensor t (its index among the sorted names of all tensors) is

    Philox4x32-10(counter = [b mod 2**32, b div 2**32, t, STREAM_VERSION], key = [seed, PURPOSE])

and holds the elements 2b and 2b + 1 (row-major) in its words 0, 1 and 2, 3. The two words of an element are four 16-bit
uniforms; their sum minus its mean, 131070, is an integer s of at most 18 bits, close to a normal distribution, with the
variance (2**32 - 1) / 3. The element is s * m / 2**k, where m / 2**k is the tensor's scale: the number with
64 <= m <= 128 nearest to standard deviation / sqrt((2**32 - 1) / 3), so the spread is within 0.8 % of the family's own.
Since |s * m| <= 131070 * 128 < 2**24, the element is a float32 and its one product is exact: no rounding, logarithm,
cosine or library function reaches the bits.
"""

from __future__ import annotations

import importlib.resources
import json
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from samebits.canonical.atomic import write_atomic
from samebits.canonical.safetensors_file import ALIGNMENT_BYTES, METADATA
from samebits.errors import StorageError, UsageError
from samebits.models.shapes import END_OF_TEXT_ID, SHAPES, TensorShape, context_tokens, tensors_of
from samebits.numerics.philox import CHUNK_BLOCKS, philox4x32_range

PURPOSE = int.from_bytes(b"base", "big")
STREAM_VERSION = 1
SUM_MEAN = 4 * 0xFFFF // 2
SUM_VARIANCE = Fraction(2**32 - 1, 3)
MIN_NUMERATOR = 64
PIECE_ELEMENTS = 1 << 22

EMBEDDED_SHAPE = "gpt2-tiny"
EMBEDDED_SEED = 42


def embedded_folder() -> Path:
    """Return the folder of the model that comes with the package."""
    return Path(str(importlib.resources.files("samebits.models") / "embedded"))


def write_base(like: str, seed: int, out: Path, *, on_bytes: Callable[[int, int], None] | None = None) -> None:
    """Write an ordinary model folder with seeded weights and the bundled tokenizer.

    Args:
        like: a name of `shapes.SHAPES`.
        seed: from 0, below 2**32.
        out: a new or empty folder.
        on_bytes: told the bytes of weights written so far, and all of them.

    Raises:
        UsageError: no such shape, or `out` holds something.
        StorageError: the disk refused.
    """
    if like not in SHAPES:
        raise UsageError(f"--like must be one of {', '.join(SHAPES)}", got=repr(like))
    config = SHAPES[like][1]
    make_empty(out)
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_tokens(config),
        "clean_up_tokenization_spaces": False,
        **dict.fromkeys(("bos_token", "eos_token", "pad_token"), "<|endoftext|>"),
    }
    endings = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), END_OF_TEXT_ID)
    write_atomic(out / "tokenizer.json", (embedded_folder() / "tokenizer.json").read_bytes())
    for name, document in (
        ("tokenizer_config.json", tokenizer_config),
        ("generation_config.json", endings),
    ):
        write_atomic(out / name, _readable_json(document))
    tensors = tensors_of(config)
    pieces = _weight_pieces(tensors, seed)
    if on_bytes is not None:
        pieces = _told(pieces, sum(4 * math.prod(tensor.shape) for tensor in tensors.values()), on_bytes)
    write_atomic(out / "model.safetensors", pieces)
    # Last: a folder without its configuration is no model, so a killed command leaves nothing that looks like one.
    write_atomic(out / "config.json", _readable_json(config))


def make_empty(out: Path) -> None:
    """Create the folder, or accept an empty one.

    Raises:
        UsageError: it holds something, or is no folder.
        StorageError: it cannot be created.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("the folder must be new or empty", got=str(out), remedy="name another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError("the folder must be writable", got=str(error), where=str(out)) from error


def dyadic_scale(variance: Fraction) -> tuple[int, int]:
    """Return (m, k): m / 2**k is the scale of `s` that gives the variance, 64 <= m <= 128, rounded to the nearest."""
    squared, exponent = variance / SUM_VARIANCE, 0
    while squared < MIN_NUMERATOR**2:
        squared, exponent = squared * 4, exponent + 1
    # The nearest integer to sqrt(x) is (isqrt(4x) + 1) // 2: integers only, as math.sqrt would round first.
    return (math.isqrt(math.floor(4 * squared)) + 1) // 2, exponent


def drawn_elements(seed: int, tensor_index: int, start: int, stop: int, scale: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Return the elements from `start` (even) to `stop` of one tensor's stream.

    Returns:
        [stop - start] little-endian float32, newly allocated.
    """
    numerator, exponent = scale
    factor = np.float32(math.ldexp(numerator, -exponent))
    elements = np.empty(stop - start + (stop - start) % 2, dtype="<f4")
    for offset in range(0, len(elements), 2 * CHUNK_BLOCKS):
        n_blocks = min(CHUNK_BLOCKS, (len(elements) - offset) // 2)
        words = philox4x32_range((start + offset) // 2, n_blocks, (tensor_index, STREAM_VERSION), (seed, PURPOSE))
        halves = (words & np.uint32(0xFFFF)) + (words >> np.uint32(16))
        sums = (halves[:, 0::2] + halves[:, 1::2]).reshape(-1).astype(np.int32) - np.int32(SUM_MEAN)
        np.multiply(sums.astype(np.float32), factor, out=elements[offset : offset + 2 * n_blocks])
    return elements[: stop - start]


def _weight_pieces(tensors: Mapping[str, TensorShape], seed: int) -> Iterator[bytes | memoryview]:
    """Yield a canonical safetensors file a few megabytes at a time: a base may be larger than memory."""
    header: dict[str, Any] = {"__metadata__": METADATA}
    position = 0
    for name, tensor in tensors.items():
        end = position + 4 * math.prod(tensor.shape)
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % ALIGNMENT_BYTES)
    yield struct.pack("<Q", len(text))
    yield text
    for index, tensor in enumerate(tensors.values()):
        n_elements = math.prod(tensor.shape)
        if tensor.variance is None:
            yield np.full(n_elements, tensor.value, dtype="<f4").data.cast("B")
            continue
        scale = dyadic_scale(tensor.variance)
        for start in range(0, n_elements, PIECE_ELEMENTS):
            stop = min(start + PIECE_ELEMENTS, n_elements)
            yield drawn_elements(seed, index, start, stop, scale).view(np.uint8).data


def _told(
    pieces: Iterable[bytes | memoryview], n_bytes: int, on_bytes: Callable[[int, int], None]
) -> Iterator[bytes | memoryview]:
    n_done = 0
    for piece in pieces:
        yield piece
        n_done += len(piece)
        on_bytes(min(n_done, n_bytes), n_bytes)


def _readable_json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()
