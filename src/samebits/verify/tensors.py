"""Two safetensors files: tensor by tensor, down to the first differing element."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from samebits.canonical.safetensors_file import NUMPY_DTYPES, TensorFile
from samebits.verify.difference import Difference
from samebits.verify.elements import ElementDifference, compare_elements
from samebits.verify.floats import show_element, ulp_distance
from samebits.verify.plain_files import read_window

# Enough of a tensor's ends to rule out most pairs before whole tensors are compared.
_EDGE_BYTES = 64


def compare_tensors(golden: Path, candidate: Path, where: str) -> Difference | None:
    """Compare two safetensors files through memory maps; None where headers and tensors are the same.

    Raises:
        RecordError: one of them is not a safetensors file that can be read.
    """
    ours, theirs = TensorFile(golden), TensorFile(candidate)
    common = ours.tensors.keys() & theirs.tensors.keys()
    children = _renamed_missing_extra(ours, theirs)
    differing = {}
    for name in sorted(common):
        if (difference := _compare_tensor(ours, theirs, name)) is not None:
            differing[name] = difference
    children += _with_exchanges(ours, theirs, differing)
    if children:
        n_tensors = len(ours.tensors)
        n_same = len(common) - len(differing)
        verb = "differs" if n_tensors - n_same == 1 else "differ"
        note = f"{n_tensors - n_same} of {n_tensors} tensors {verb}" if n_same < n_tensors else "tensors were added"
        facts = {"n_tensors": n_tensors, "n_same_tensors": n_same}
        return Difference("file", where, note=note, facts=facts, children=tuple(children))
    return _compare_layout(ours, theirs, where)


def end_of_truncated(golden: Path, n_bytes: int) -> str:
    """Say where in the golden's tensors a file of `n_bytes` ends.

    Raises:
        RecordError: the golden is not a safetensors file.
    """
    ours = TensorFile(golden)
    position = n_bytes - _data_start(golden)
    if position < 0:
        return "it ends inside the header"
    whole = [name for name, info in ours.tensors.items() if info.stop <= position]
    cut = next((name for name, info in ours.tensors.items() if info.start <= position < info.stop), None)
    ending = f", it ends inside {cut}" if cut else ""
    return f"{len(whole)} of {len(ours.tensors)} tensors are whole{ending}"


def _compare_tensor(ours: TensorFile, theirs: TensorFile, name: str) -> Difference | None:
    golden, candidate = ours.tensors[name], theirs.tensors[name]
    if golden.dtype != candidate.dtype:
        facts = {"golden_shape": list(golden.shape), "candidate_shape": list(candidate.shape)}
        return Difference("dtype", name, golden.dtype, candidate.dtype, "another dtype", facts)
    if golden.shape != candidate.shape:
        is_same = golden.n_elements == candidate.n_elements and _equal(ours, name, theirs, name)
        note = "another shape, the same elements in the same order" if is_same else "another shape"
        return Difference("shape", name, list(golden.shape), list(candidate.shape), note, {"dtype": golden.dtype})
    found = _compare_bytes(ours, name, theirs, name)
    return None if found is None else describe_elements(name, golden.dtype, golden.shape, found)


def _compare_bytes(ours: TensorFile, name: str, theirs: TensorFile, other_name: str) -> ElementDifference | None:
    info = ours.tensors[name]
    size_bytes = np.dtype(NUMPY_DTYPES[info.dtype]).itemsize

    def release() -> None:
        # Of two mapped files this process holds what it last read, not all that it has read.
        ours.release()
        theirs.release()

    return compare_elements(info.dtype, size_bytes, ours.bytes_of(name), theirs.bytes_of(other_name), release)


def _equal(ours: TensorFile, name: str, theirs: TensorFile, other_name: str) -> bool:
    return _compare_bytes(ours, name, theirs, other_name) is None


def describe_elements(name: str, dtype: str, shape: tuple[int, ...], found: ElementDifference) -> Difference:
    """Return the node of a tensor whose elements differ: the first of them, both values, how many, how far."""
    index = _unravel(found.first_index, shape)
    ulp = ulp_distance(dtype, found.golden_bits, found.candidate_bits)
    facts: dict[str, Any] = {
        "dtype": dtype,
        "shape": list(shape),
        "first_index": index,
        "n_different": found.n_different,
        "n_elements": found.n_elements,
        "ulp_distance": ulp,
        "largest_ulp": found.largest_ulp,
        "n_new_nan": found.n_new_nan,
        "n_lost_nan": found.n_lost_nan,
        "n_sign_of_zero": found.n_sign_of_zero,
        "n_new_zero": found.n_new_zero,
    }
    note = f"{dtype} {list(shape)}, first at {index}: {found.n_different:,} of {found.n_elements:,} elements"
    if found.largest_ulp is not None:
        note += f", {found.largest_ulp:,} ULP" + (" at most" if found.n_different > 1 else "")
    if meaning := _meaning(found):
        note += f"; {meaning}"
    kind = "nan" if found.n_new_nan else "sign of zero" if found.n_sign_of_zero == found.n_different else "tensor"
    golden, candidate = (show_element(dtype, bits) for bits in (found.golden_bits, found.candidate_bits))
    return Difference(kind, name, golden, candidate, note, facts)  # type: ignore[arg-type]


def _meaning(found: ElementDifference) -> str:
    if found.n_new_nan == found.n_elements:
        return "every element is NaN where the golden has numbers"
    if found.n_new_nan:
        return f"{found.n_new_nan:,} are NaN where the golden has numbers"
    if found.n_lost_nan:
        return f"{found.n_lost_nan:,} are numbers where the golden has NaN"
    if found.n_sign_of_zero == found.n_different:
        return "only the sign of zero differs"
    if found.n_new_zero == found.n_different > 1:
        return "all of these are zero in the candidate"
    flipped = found.golden_bits ^ found.candidate_bits
    if found.n_different == 1 and flipped.bit_count() == 1:
        return f"one bit flipped (bit {flipped.bit_length() - 1})"
    return ""


def _renamed_missing_extra(ours: TensorFile, theirs: TensorFile) -> list[Difference]:
    missing, extra = sorted(ours.tensors.keys() - theirs.tensors.keys()), theirs.tensors.keys() - ours.tensors.keys()
    by_edges = _by_edges(theirs, extra)
    differences = []
    for name in missing:
        match = next(
            (other for other in by_edges.get(_edges(ours, name), []) if _equal(ours, name, theirs, other)), None
        )
        if match is None:
            differences.append(Difference("missing", name, _form(ours, name), None, "the candidate lacks this tensor"))
        else:
            by_edges[_edges(ours, name)].remove(match)
            extra -= {match}
            differences.append(Difference("renamed", name, name, match, "the same tensor under another name"))
    differences += [
        Difference("extra", name, None, _form(theirs, name), "the golden has no such tensor") for name in sorted(extra)
    ]
    return differences


def _with_exchanges(ours: TensorFile, theirs: TensorFile, differing: dict[str, Difference]) -> list[Difference]:
    """Replace what is only another tensor's content by saying so."""
    by_edges = _by_edges(ours, ours.tensors)
    source = {}
    for name in differing:
        edges = _edges(theirs, name)
        # A zeroed tensor is not a copy of one of the golden's zero tensors.
        candidates = [other for other in by_edges.get(edges, []) if other != name] if any(edges[2]) else []
        match = next((other for other in candidates if _equal(ours, other, theirs, name)), None)
        if match is not None:
            source[name] = match
    differences = []
    for name, difference in differing.items():
        other = source.get(name)
        if other is None:
            differences.append(difference)
        elif source.get(other) != name:
            differences.append(Difference("moved", name, name, other, "it holds the golden's tensor of another name"))
        elif name < other:
            note = "these two tensors are exchanged"
            differences.append(Difference("exchanged", f"{name} and {other}", name, other, note))
    return differences


def _by_edges(file: TensorFile, names: Iterable[str]) -> dict[tuple[Any, ...], list[str]]:
    by_edges: dict[tuple[Any, ...], list[str]] = {}
    for name in sorted(names):
        if file.tensors[name].n_elements:
            by_edges.setdefault(_edges(file, name), []).append(name)
    return by_edges


def _edges(file: TensorFile, name: str) -> tuple[Any, ...]:
    info, data = file.tensors[name], file.bytes_of(name)
    return info.dtype, info.shape, bytes(data[:_EDGE_BYTES]), bytes(data[-_EDGE_BYTES:])


def _form(file: TensorFile, name: str) -> str:
    info = file.tensors[name]
    return f"{info.dtype} {list(info.shape)}"


def _compare_layout(ours: TensorFile, theirs: TensorFile, where: str) -> Difference | None:
    if ours.metadata != theirs.metadata:
        note = "the same tensors, other metadata in the header"
        return Difference("layout", where, ours.metadata, theirs.metadata, note)
    if ours.tensors != theirs.tensors:
        return Difference("layout", where, note="the same tensors, other layout: they lie in another order")
    sizes = _data_start(ours.path), _data_start(theirs.path)
    if sizes[0] == sizes[1] and read_window(ours.path, 0, sizes[0]) == read_window(theirs.path, 0, sizes[1]):
        return None
    return Difference("layout", where, note="the same tensors, other layout: the header is spelled otherwise")


def _data_start(path: Path) -> int:
    return 8 + int.from_bytes(read_window(path, 0, 8), "little")


def _unravel(flat: int, shape: tuple[int, ...]) -> list[int]:
    index = []
    for size in reversed(shape):
        flat, remainder = divmod(flat, size)
        index.append(remainder)
    return index[::-1]
