from __future__ import annotations

import json
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.canonical.safetensors_file import write_safetensors
from samebits.errors import RecordError
from samebits.verify.compare import compare
from samebits.verify.difference import Difference
from samebits.verify.tensors import compare_tensors, end_of_truncated

Arrays = dict[str, np.ndarray[Any, Any]]


def arrays() -> Arrays:
    rng = np.random.default_rng(3)
    return {name: rng.standard_normal((3, 4)).astype(np.float32) for name in ("a", "b", "c")}


def compared(tmp_path: Path, golden: Arrays, candidate: Arrays) -> Difference | None:
    write_safetensors(tmp_path / "golden.safetensors", golden)
    write_safetensors(tmp_path / "candidate.safetensors", candidate)
    return compare_tensors(tmp_path / "golden.safetensors", tmp_path / "candidate.safetensors", "file")


def only_child(difference: Difference | None) -> Difference:
    assert difference is not None
    (child,) = difference.children
    return child


def raw(path: Path, header: dict[str, Any], data: bytes, *, pad: int = 0) -> Path:
    text = json.dumps(header).encode() + b" " * pad
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_same(tmp_path: Path) -> None:
    assert compared(tmp_path, arrays(), arrays()) is None


def test_known_difference_names_tensor_element_values_and_distance(tmp_path: Path) -> None:
    golden, candidate = arrays(), arrays()
    golden["b"][1, 2], candidate["b"][1, 2] = 1.0, np.nextafter(np.float32(1), np.float32(2))
    child = only_child(compared(tmp_path, golden, candidate))
    assert (child.where, child.golden, child.candidate) == ("b", "0x1p+0", "0x1.000002p+0")
    assert child.note == "F32 [3, 4], first at [1, 2]: 1 of 12 elements, 1 ULP; one bit flipped (bit 0)"
    assert child.facts["first_index"] == [1, 2]
    assert child.facts["ulp_distance"] == 1


def test_damaged_is_refused_by_name(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "golden", arrays())
    (tmp_path / "candidate").write_bytes(struct.pack("<Q", 1 << 50) + b"{}")
    with pytest.raises(RecordError, match="header must fit"):
        compare_tensors(tmp_path / "golden", tmp_path / "candidate", "file")


def test_missing_extra_and_renamed_tensors(tmp_path: Path) -> None:
    golden, candidate = arrays(), arrays()
    candidate["new"] = candidate.pop("a")
    del candidate["b"]
    candidate["other"] = np.zeros(2, np.float32)
    difference = compared(tmp_path, golden, candidate)
    assert difference is not None
    assert [(child.kind, child.where, child.candidate) for child in difference.children] == [
        ("renamed", "a", "new"), ("missing", "b", None), ("extra", "other", "F32 [2]"),
    ]  # fmt: skip
    assert difference.note == "2 of 3 tensors differ"


def test_exchanged_tensors(tmp_path: Path) -> None:
    candidate = arrays()
    candidate["a"], candidate["c"] = candidate["c"], candidate["a"]
    child = only_child(compared(tmp_path, arrays(), candidate))
    assert (child.kind, child.where) == ("exchanged", "a and c")


def test_a_tensor_copied_over_another(tmp_path: Path) -> None:
    candidate = arrays()
    candidate["a"] = candidate["c"]
    child = only_child(compared(tmp_path, arrays(), candidate))
    assert (child.kind, child.where, child.candidate) == ("moved", "a", "c")


def test_a_zeroed_tensor_is_no_copy_of_a_zero_tensor(tmp_path: Path) -> None:
    golden, candidate = arrays(), arrays()
    golden["b"] = candidate["b"] = candidate["a"] = np.zeros((3, 4), np.float32)
    child = only_child(compared(tmp_path, golden, candidate))
    assert (child.kind, child.where, child.facts["n_new_zero"]) == ("tensor", "a", 12)


def test_three_tensors_in_a_ring(tmp_path: Path) -> None:
    golden = arrays()
    candidate = {"a": golden["b"], "b": golden["c"], "c": golden["a"]}
    difference = compared(tmp_path, golden, candidate)
    assert difference is not None
    assert [(child.kind, child.golden, child.candidate) for child in difference.children] == [
        ("moved", "a", "b"), ("moved", "b", "c"), ("moved", "c", "a"),
    ]  # fmt: skip


def test_dtype_and_shape(tmp_path: Path) -> None:
    candidate = arrays()
    candidate["a"] = candidate["a"].astype(np.float16)
    candidate["b"] = candidate["b"].reshape(4, 3)
    candidate["c"] = candidate["c"][:2]
    difference = compared(tmp_path, arrays(), candidate)
    assert difference is not None
    assert [(child.kind, child.golden, child.candidate, child.note) for child in difference.children] == [
        ("dtype", "F32", "F16", "another dtype"),
        ("shape", [3, 4], [4, 3], "another shape, the same elements in the same order"),
        ("shape", [3, 4], [2, 4], "another shape"),
    ]


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda a: np.full_like(a, np.nan), "nan", "every element is NaN where the golden has numbers"),
        (lambda a: np.where(a == a[1, 1], np.float32(np.nan), a), "nan", "1 are NaN where the golden has numbers"),
        (np.zeros_like, "tensor", "all of these are zero in the candidate"),
    ],
)
def test_filled_tensors_are_told_for_what_they_are(tmp_path: Path, change: Any, kind: str, words: str) -> None:
    candidate = arrays()
    candidate["a"] = change(candidate["a"])
    child = only_child(compared(tmp_path, arrays(), candidate))
    assert child.kind == kind
    assert words in child.note


def test_sign_of_zero_is_a_difference_of_no_distance(tmp_path: Path) -> None:
    golden, candidate = {"a": np.zeros(4, np.float32)}, {"a": np.array([0, -0.0, 0, 0], np.float32)}
    child = only_child(compared(tmp_path, golden, candidate))
    assert (child.kind, child.golden, child.candidate) == ("sign of zero", "0x0p+0", "-0x0p+0")
    assert child.facts["ulp_distance"] == 0
    assert "only the sign of zero" in child.note


def test_lost_nan_is_told(tmp_path: Path) -> None:
    golden = arrays()
    golden["a"][0, 0] = np.nan
    child = only_child(compared(tmp_path, golden, arrays()))
    assert child.golden == "nan (0x7fc00000)"
    assert child.facts["ulp_distance"] is None
    assert "1 are numbers where the golden has NaN" in child.note


def test_layout_is_labelled_as_layout(tmp_path: Path) -> None:
    data = struct.pack("<4f", 1, 2, 3, 4)
    a, b = ({"dtype": "F32", "shape": [2], "data_offsets": offsets} for offsets in ([0, 8], [8, 16]))
    golden = raw(tmp_path / "golden", {"a": a, "b": b}, data)
    assert compare_tensors(golden, raw(tmp_path / "same", {"a": a, "b": b}, data), "f") is None
    cases = {
        "spelled otherwise": raw(tmp_path / "padded", {"a": a, "b": b}, data, pad=3),
        "lie in another order": raw(tmp_path / "order", {"a": b, "b": a}, data[8:] + data[:8]),
        "other metadata": raw(tmp_path / "meta", {"__metadata__": {"k": "v"}, "a": a, "b": b}, data),
    }
    for words, path in cases.items():
        difference = compare_tensors(golden, path, "f")
        assert difference is not None
        assert difference.kind == "layout"
        assert words in difference.note


def test_bfloat16_and_whole_numbers(tmp_path: Path) -> None:
    entry = {"shape": [2], "data_offsets": [0, 4]}
    golden = raw(tmp_path / "golden", {"a": {**entry, "dtype": "BF16"}}, struct.pack("<2H", 0x3F80, 0x3F80))
    candidate = raw(tmp_path / "candidate", {"a": {**entry, "dtype": "BF16"}}, struct.pack("<2H", 0x3F80, 0x3F82))
    child = only_child(compare_tensors(golden, candidate, "f"))
    assert (child.golden, child.candidate, child.facts["ulp_distance"]) == ("0x1p+0", "0x1.04p+0", 2)
    golden = raw(tmp_path / "golden", {"a": {**entry, "dtype": "I16"}}, struct.pack("<2h", 5, -6))
    candidate = raw(tmp_path / "candidate", {"a": {**entry, "dtype": "I16"}}, struct.pack("<2h", 5, 7))
    child = only_child(compare_tensors(golden, candidate, "f"))
    assert (child.golden, child.candidate, child.facts["ulp_distance"]) == ("-6", "7", None)


def test_a_shape_that_numpy_cannot_hold_is_compared_all_the_same(tmp_path: Path) -> None:
    entry = {"dtype": "F32", "shape": [0, 10**30], "data_offsets": [0, 0]}
    golden, other = raw(tmp_path / "golden", {"a": entry}, b""), raw(tmp_path / "other", {"b": entry}, b"")
    assert compare_tensors(golden, golden, "f") is None
    difference = compare_tensors(golden, other, "f")
    assert difference is not None
    assert {child.kind for child in difference.children} == {"missing", "extra"}


def test_end_of_truncated(tmp_path: Path) -> None:
    path = tmp_path / "golden"
    write_safetensors(path, arrays())
    size = path.stat().st_size
    assert end_of_truncated(path, 20) == "it ends inside the header"
    assert end_of_truncated(path, size - 1) == "2 of 3 tensors are whole, it ends inside c"
    assert end_of_truncated(path, size - 48) == "2 of 3 tensors are whole, it ends inside c"


def test_large_files_are_compared_through_maps_in_little_memory(tmp_path: Path) -> None:
    n_bytes = 64 << 20
    golden, candidate = tmp_path / "golden.safetensors", tmp_path / "candidate.safetensors"
    header = {"a": {"dtype": "F32", "shape": [n_bytes // 4], "data_offsets": [0, n_bytes]}}
    for path in (golden, candidate):
        raw(path, header, b"")
        with path.open("r+b") as stream:
            stream.truncate(path.stat().st_size + n_bytes)
    with candidate.open("r+b") as stream:
        stream.seek(-n_bytes // 2, 2)
        stream.write(b"\1" * (8 << 20))
    limit_bytes = 16 << 20

    comparison, peak_bytes = peak_of(lambda: compare(golden, candidate))
    assert comparison.difference is not None
    assert comparison.difference.children[0].facts["n_different"] == (8 << 20) // 4
    assert peak_bytes < limit_bytes

    # The meter sees what it is meant to see: a file read whole is over the limit.
    _, peak_bytes = peak_of(golden.read_bytes)
    assert peak_bytes > limit_bytes


TELL_PEAK = """
import sys
from pathlib import Path
from samebits.verify.compare import compare
n_different = compare(Path(sys.argv[1]), Path(sys.argv[2])).difference.children[0].facts["n_different"]
status = Path("/proc/self/status").read_text()
print(n_different, 1024 * int(status.partition("VmHWM:")[2].split()[0]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process holds of a mapped file")
def test_of_mapped_files_a_process_holds_what_it_last_read(tmp_path: Path) -> None:
    n_bytes = 256 << 20
    files = [tmp_path / "golden.safetensors", tmp_path / "candidate.safetensors"]
    for path in files:
        raw(path, {"a": {"dtype": "F32", "shape": [n_bytes // 4], "data_offsets": [0, n_bytes]}}, b"")
        with path.open("r+b") as stream:
            stream.truncate(path.stat().st_size + n_bytes)
    with files[1].open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\1")
    child = subprocess.run([sys.executable, "-c", TELL_PEAK, *files], capture_output=True, text=True, check=True)
    n_different, peak_bytes = map(int, child.stdout.split())
    assert n_different == 1
    assert peak_bytes < 128 << 20


def peak_of(call: Any) -> tuple[Any, int]:
    tracemalloc.start()
    try:
        return call(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
