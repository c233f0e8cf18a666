"""The safetensors format, read through a memory map and written in one canonical layout.

The `safetensors` package is not used for reading because the comparison must say how a damaged file is damaged, must
see bfloat16 without torch, and must hold two files larger than memory side by side. Its writer's header order follows
the package's version; ours is fixed: names sorted, no spaces, one metadata key.

Format: https://github.com/huggingface/safetensors (8-byte little-endian header length, JSON header, tensor bytes).
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from samebits.canonical.atomic import write_atomic
from samebits.canonical.json_bytes import load_json
from samebits.errors import RecordError

MAX_HEADER_BYTES = 100 * 1024 * 1024
ALIGNMENT_BYTES = 8
READ_BYTES = 16 << 20
"""Of one tensor, how much a reader takes at a time before it lets the pages go."""
METADATA = {"format": "pt"}
# bfloat16 has no NumPy type: its bits travel as uint16.
NUMPY_DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
WRITTEN_DTYPES = {np.dtype(code).newbyteorder("<"): name for name, code in NUMPY_DTYPES.items() if name != "BF16"}


@dataclass(frozen=True)
class TensorInfo:
    """Where one tensor lies: dtype name of the format, shape, byte range within the data part."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def n_elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


class TensorFile:
    """A safetensors file, mapped: nothing is read before it is asked for.

    Raises:
        RecordError: truncated, overlapping, or otherwise not a safetensors file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as stream:
            size_bytes = stream.seek(0, 2)
            if size_bytes < 8:
                raise RecordError("a safetensors file must have 8 bytes or more", got=f"{size_bytes}", where=str(path))
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        (header_bytes,) = struct.unpack("<Q", self._map[:8])
        if header_bytes > min(MAX_HEADER_BYTES, size_bytes - 8):
            raise RecordError(
                "the safetensors header must fit in the file",
                got=f"a header of {header_bytes} bytes in a file of {size_bytes}",
                where=str(path),
            )
        self._data_start = 8 + header_bytes
        header = load_json(self._map[8 : self._data_start], where=str(path))
        if not isinstance(header, dict):
            raise RecordError("the safetensors header must be an object", where=str(path))
        self.metadata: dict[str, str] = header.pop("__metadata__", {})
        if not isinstance(self.metadata, dict) or not all(isinstance(text, str) for text in self.metadata.values()):
            raise RecordError("the safetensors metadata must map text to text", where=str(path))
        self.tensors = {_checked_name(name, path): _tensor_info(name, header[name], path) for name in sorted(header)}
        self._check_ranges(size_bytes - self._data_start)

    def _check_ranges(self, data_bytes: int) -> None:
        position = 0
        for name, info in sorted(self.tensors.items(), key=lambda item: (item[1].start, item[1].stop)):
            if info.start != position:
                raise RecordError(
                    "tensors must lie end to end", got=f"{name} at byte {info.start}", where=f"{self.path}"
                )
            position = info.stop
        if position != data_bytes:
            kind = "truncated" if data_bytes < position else "too long"
            raise RecordError(
                f"the tensors must fill the file ({kind})",
                got=f"{data_bytes} data bytes for {position}",
                where=str(self.path),
            )

    def bytes_of(self, name: str) -> memoryview:
        """Return a tensor's little-endian bytes without copying them."""
        info = self.tensors[name]
        return memoryview(self._map)[self._data_start + info.start : self._data_start + info.stop]

    def array(self, name: str) -> np.ndarray[Any, Any]:
        """Return a tensor as a read-only array over the map; bfloat16 comes as its uint16 bits."""
        info = self.tensors[name]
        return np.frombuffer(self.bytes_of(name), dtype=NUMPY_DTYPES[info.dtype]).reshape(info.shape)

    def sha256_of(self, name: str) -> str:
        """Return the digest of one tensor: dtype, shape and bytes, not its name."""
        info, data = self.tensors[name], self.bytes_of(name)
        digest = _begin_sha256(info.dtype, info.shape)
        for start in range(0, len(data), READ_BYTES):
            digest.update(data[start : start + READ_BYTES])
            self.release()
        return digest.hexdigest()

    @property
    def is_canonical(self) -> bool:
        """Say whether the file is laid out as `write_safetensors` lays out these tensors (R-09)."""
        sizes = {name: (info.dtype, info.shape, info.stop - info.start) for name, info in self.tensors.items()}
        return self._map[: self._data_start] == b"".join(_head(sizes))

    def release(self) -> None:
        """Let go of the pages read so far: they are no longer held by this process, and come back when asked for."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def write_safetensors(path: Path, tensors: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write arrays as one canonical safetensors file, whole or not at all.

    Args:
        tensors: C-contiguous or not; float, integer and bool types of NumPy. Sorted by name in the file.
    """
    write_atomic(path, _pieces(tensors))


def tensors_sha256(tensors: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """Return one digest for named arrays: for each name, sorted, `<sha256 of dtype, shape, bytes>  <name>` a line."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{tensor_sha256(tensors[name])}  {_checked_name(name)}\n".encode())
    return digest.hexdigest()


def tensor_sha256(array: np.ndarray[Any, Any]) -> str:
    """Return the digest of one array: dtype, shape and little-endian bytes, not its name."""
    array = _little_endian(array)
    digest = _begin_sha256(WRITTEN_DTYPES[array.dtype], array.shape)
    digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def dtype_name(array: np.ndarray[Any, Any]) -> str:
    """Return what the format calls an array's type."""
    return WRITTEN_DTYPES[array.dtype.newbyteorder("<")]


def _checked_name(name: str, path: Path | None = None) -> str:
    """A digest of named tensors has one line for each name: no name may hold two."""
    if "\n" in name:
        raise RecordError("a tensor's name must hold no line feed", got=repr(name), where=str(path) if path else None)
    return name


def _tensor_info(name: str, entry: Any, path: Path) -> TensorInfo:
    where = f"tensor {name!r} of {path}"
    try:
        dtype, shape, (start, stop) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError("a tensor must have dtype, shape and data_offsets", got=repr(entry), where=where) from error
    if not isinstance(dtype, str) or dtype not in NUMPY_DTYPES:
        raise RecordError(f"the dtype must be one of {', '.join(NUMPY_DTYPES)}", got=repr(dtype), where=where)
    if not all(type(number) is int and number >= 0 for number in (*shape, start, stop)):
        raise RecordError("shape and offsets must be whole numbers from 0", got=repr(entry), where=where)
    needed = math.prod(shape) * np.dtype(NUMPY_DTYPES[dtype]).itemsize
    if stop - start != needed:
        raise RecordError(f"the tensor must have {needed} bytes", got=f"{stop - start}", where=where)
    return TensorInfo(dtype, shape, start, stop)


def _pieces(tensors: Mapping[str, np.ndarray[Any, Any]]) -> Iterator[bytes | memoryview]:
    arrays = {name: _little_endian(tensors[name]) for name in sorted(tensors)}
    yield from _head({name: (WRITTEN_DTYPES[array.dtype], array.shape, array.nbytes) for name, array in arrays.items()})
    for array in arrays.values():
        yield array.reshape(-1).view(np.uint8).data


def _head(sizes: Mapping[str, tuple[str, tuple[int, ...], int]]) -> tuple[bytes, bytes]:
    """Return the header's length and the header: dtype, shape and number of bytes of each, in the order of names."""
    header: dict[str, Any] = {"__metadata__": METADATA}
    position = 0
    for name, (dtype, shape, n_bytes) in sizes.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + n_bytes]}
        position += n_bytes
    # A name read from a file may hold half a surrogate pair, which no writer writes.
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass")
    text += b" " * (-len(text) % ALIGNMENT_BYTES)
    return struct.pack("<Q", len(text)), text


def _little_endian(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)


def _begin_sha256(dtype: str, shape: tuple[int, ...]) -> hashlib._Hash:
    """Return the digest of a tensor before its bytes."""
    return hashlib.sha256(f"{dtype} {list(shape)}\n".encode())
