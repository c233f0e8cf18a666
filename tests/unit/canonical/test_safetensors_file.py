"""The safetensors reader and writer, held against the format's own package."""

import hashlib
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from samebits.canonical.safetensors_file import TensorFile, tensors_sha256, write_safetensors
from samebits.errors import RecordError

Arrays = dict[str, np.ndarray[Any, Any]]
ARRAYS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), min_size=1).filter(
        lambda name: name != "__metadata__"
    ),
    hnp.arrays(
        st.sampled_from(["<f4", ">f4", "<f8", "<f2", "u1", "i1", "?", "<i8", ">i2", "<u4"]),
        hnp.array_shapes(min_dims=0, min_side=0, max_side=5),
    ),
    max_size=4,
)


@given(arrays=ARRAYS)
def test_the_formats_own_package_reads_what_we_write(arrays: Arrays, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("t") / "t.safetensors"
    write_safetensors(path, arrays)
    theirs = safetensors.numpy.load_file(path)
    ours = TensorFile(path)
    assert set(theirs) == set(ours.tensors) == set(arrays)
    for name, array in arrays.items():
        little = array.astype(array.dtype.newbyteorder("<"))
        assert theirs[name].tobytes() == ours.array(name).tobytes() == little.tobytes()
        assert ours.array(name).shape == array.shape


@given(arrays=ARRAYS)
def test_we_read_what_the_formats_own_package_writes(arrays: Arrays, tmp_path_factory: Any) -> None:
    arrays = {name: array.astype(array.dtype.newbyteorder("<")) for name, array in arrays.items()}
    path = tmp_path_factory.mktemp("t") / "t.safetensors"
    safetensors.numpy.save_file(arrays, path)
    ours = TensorFile(path)
    assert {name: ours.bytes_of(name).tobytes() for name in ours.tensors} == {
        name: array.tobytes() for name, array in arrays.items()
    }


def test_order_strides_and_byte_order_do_not_reach_the_bytes(tmp_path: Path) -> None:
    a, b = np.arange(6, dtype="<f4").reshape(2, 3), np.float32(7).reshape(())
    write_safetensors(tmp_path / "1", {"a": a, "b": b})
    write_safetensors(tmp_path / "2", {"b": b, "a": np.asfortranarray(a.astype(">f4"))})
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    assert tensors_sha256({"a": a, "b": b}) == tensors_sha256({"b": b, "a": np.asfortranarray(a.astype(">f4"))})


def test_header_layout_is_fixed(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "t", {"b": np.zeros(1, "<f4"), "a": np.ones((1, 2), "<f2")})
    data = (tmp_path / "t").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    assert length % 8 == 0
    assert data[8 : 8 + length].rstrip(b" ") == (
        b'{"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[1,2],"data_offsets":[0,4]},'
        b'"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"a": np.float32([1, 3])},
        {"a": np.float32([2, 1])},
        {"a": np.float32([[1, 2]])},
        {"b": np.float32([1, 2])},
        {"a": np.float32([1, 2]), "b": np.float32([])},
        {"a": np.float32([1, 2]).view("<i4")},
    ],
)
def test_digest_sees_value_order_shape_name_and_dtype(changed: Arrays) -> None:
    assert tensors_sha256({"a": np.float32([1, 2])}) != tensors_sha256(changed)


def test_digest_tells_minus_zero_and_nan_payloads_apart() -> None:
    assert tensors_sha256({"a": np.float32([0.0])}) != tensors_sha256({"a": np.float32([-0.0])})
    nans = np.array([0x7FC00000, 0x7FC00001], "<u4").view("<f4")
    assert tensors_sha256({"a": nans[:1]}) != tensors_sha256({"a": nans[1:]})


def _file(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def _entry(start: int = 0, stop: int = 4, shape: Any = (1,), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    ("header", "data", "length", "said"),
    [
        ({"a": _entry()}, b"123", None, "truncated"),
        ({"a": _entry()}, b"12345", None, "too long"),
        ({"a": _entry(), "b": _entry()}, b"1234", None, "end to end"),
        ({"a": _entry(4, 8)}, b"12345678", None, "end to end"),
        ({"a": _entry(shape=[2])}, b"1234", None, "8 bytes"),
        ({"a": _entry(dtype="F99")}, b"1234", None, "dtype"),
        ({"a": _entry(dtype=["F32"])}, b"1234", None, "dtype"),
        ({"a": _entry(shape=[-1])}, b"1234", None, "whole numbers"),
        ({"a": _entry(shape=[True])}, b"1234", None, "whole numbers"),
        ({"a": _entry(shape=[10**30])}, b"1234", None, "bytes"),
        ({"a": {"dtype": "F32"}}, b"1234", None, "data_offsets"),
        ({"a": 3}, b"", None, "data_offsets"),
        ([], b"", None, "object"),
        ({"__metadata__": 3}, b"", None, "metadata"),
        (b'{"a":{},"a":{}}', b"", None, "twice"),
        (b"{", b"", None, "JSON"),
        ({}, b"", 2**63, "fit in the file"),
        ({}, b"", 3, "fit in the file"),
    ],
)
def test_rubbish_is_refused_in_one_sentence(
    tmp_path: Path, header: Any, data: bytes, length: int | None, said: str
) -> None:
    with pytest.raises(RecordError, match=said):
        TensorFile(_file(tmp_path / "t", header, data, length))


@pytest.mark.parametrize("size_bytes", [0, 7])
def test_a_file_too_short_for_its_length_field(tmp_path: Path, size_bytes: int) -> None:
    (tmp_path / "t").write_bytes(b"\0" * size_bytes)
    with pytest.raises(RecordError, match="8 bytes"):
        TensorFile(tmp_path / "t")


def test_a_name_that_would_be_two_lines_of_the_digest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="line feed"):
        TensorFile(_file(tmp_path / "t", {"a\nb": _entry()}, b"1234"))
    with pytest.raises(RecordError, match="line feed"):
        tensors_sha256({"a\nb": np.float32([1])})


HASH_LARGE = """
import sys
from pathlib import Path
from samebits.canonical.safetensors_file import TensorFile
print(TensorFile(Path(sys.argv[1])).sha256_of("a"))
print(1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process holds of a mapped file")
def test_a_large_tensor_is_hashed_in_little_memory(tmp_path: Path) -> None:
    n_bytes = 256 << 20
    path = _file(tmp_path / "t", {"a": _entry(0, n_bytes, (n_bytes // 4,))}, b"", None)
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size + n_bytes)
    child = subprocess.run([sys.executable, "-c", HASH_LARGE, path], capture_output=True, text=True, check=True)
    sha256, peak_bytes = child.stdout.split()
    digest = hashlib.sha256(f"F32 [{n_bytes // 4}]\n".encode())
    for _ in range(n_bytes >> 20):
        digest.update(bytes(1 << 20))
    assert sha256 == digest.hexdigest()
    assert int(peak_bytes) < 128 << 20


def test_our_own_layout_is_known_and_any_other_too(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_safetensors(path, {"b": np.zeros(3, np.float32), "a": np.ones((2, 1), np.int8), "é": np.zeros((), np.bool_)})
    assert TensorFile(path).is_canonical
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + size]
    for other in (
        header + b" " * 8,
        header.replace(b'"pt"', b'"tf"'),
        header.replace(b",", b", ").rstrip(),
        json.dumps(json.loads(header), separators=(",", ":")).encode(),
        json.dumps(json.loads(header) | {"__metadata__": {}}, separators=(",", ":"), ensure_ascii=False).encode(),
    ):
        path.write_bytes(len(other).to_bytes(8, "little") + other + data[8 + size :])
        assert not TensorFile(path).is_canonical
