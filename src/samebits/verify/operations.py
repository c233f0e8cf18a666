"""Two operation traces of one step: the first output that differs, and its elements where both tensors are at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Any, Literal

import numpy as np

from samebits.canonical.safetensors_file import NUMPY_DTYPES
from samebits.record.operations import OperationTrace, Output
from samebits.verify.difference import Difference
from samebits.verify.elements import compare_elements
from samebits.verify.tensors import describe_elements

Array = np.ndarray[Any, Any]
Tensors = Callable[[Output], Array | None]


@dataclass(frozen=True)
class OperationDifference:
    """The first output of a step that differs.

    Args:
        kind: `value` for other bits of one operation; `shape` for one on tensors of another shape or type; `operation`
            where another ran in its place; `length` where one side's trace goes on and the other's does not.
        golden: the output of A; None where its trace has ended.
        candidate: of B.
        n_same: outputs before it that both sides have, all with the same bits.
        n_different: outputs of the step with other bits, counted as far as both traces list the same operations.
        elements: the first differing element and how many differ; None where a tensor is not at hand.
    """

    kind: Literal["value", "shape", "operation", "length"]
    golden: Output | None
    candidate: Output | None
    n_same: int
    n_different: int
    elements: Difference | None = None

    @property
    def output(self) -> Output:
        """The output of whichever side has one, A's first."""
        found = self.golden or self.candidate
        assert found is not None, "a difference has a side"
        return found


def first_different_output(a: OperationTrace, b: OperationTrace) -> OperationDifference | None:
    """Return where two traces of one step at one level begin to differ; None where all outputs are the same.

    Outputs are taken by visits, as they follow each other in one module. Where both sides run the same operations in a
    visit, the first with other bits is the place; where they do not, and the next visit that they share has other
    bits, that visit is. Other operations after which the bits are still the same are passed.
    """
    passed: OperationDifference | None = None
    place = 0
    for ours, theirs in zip_longest(_visits(a), _visits(b), fillvalue=()):
        n_common = next((n for n, pair in enumerate(zip_longest(ours, theirs)) if _is_other(*pair)), len(ours))
        for golden, candidate in zip(ours[:n_common], theirs[:n_common], strict=True):
            if golden.sha256 != candidate.sha256:
                return passed or OperationDifference("value", golden, candidate, place, _n_different(a, b))
            place += 1
        if n_common == len(ours) == len(theirs):
            passed = None
            continue
        # Where a visit ends early, what runs in its place is the next visit's first.
        other = _next(a, ours, n_common), _next(b, theirs, n_common)
        found = OperationDifference(_kind(*other), *other, place, 1)
        if passed is None and found.kind == "shape":
            return found
        if not ours or not theirs or _place(ours[0]) != _place(theirs[0]):
            # The two went through other modules: from here on there is nothing to hold against each other.
            return passed or found
        passed = found
    return passed


def compare_outputs(found: OperationDifference, a: Tensors, b: Tensors) -> Difference | None:
    """Return how the tensors of a differing output differ; None where they are not both at hand, or of other shapes."""
    ours, theirs = found.golden, found.candidate
    if found.kind != "value" or ours is None or theirs is None:
        return None
    arrays = a(ours), b(theirs)
    if arrays[0] is None or arrays[1] is None:
        return None
    size_bytes = np.dtype(NUMPY_DTYPES[ours.dtype]).itemsize
    views = [
        memoryview(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data)
        for array in arrays
        if array is not None
    ]
    elements = compare_elements(ours.dtype, size_bytes, views[0], views[1])
    return None if elements is None else describe_elements(name_of(ours), ours.dtype, ours.shape, elements)


def name_of(output: Output) -> str:
    """Return an output in words: `linear in transformer.h.0.attn.c_attn, sample 3`."""
    number = f" (output {output.output})" if output.output else ""
    module = f" in {output.module}" if output.module else ""
    sample = "" if output.sample is None else f", sample {output.sample}"
    return f"{output.operation}{number}{module}{sample}"


def identity(output: Output) -> tuple[Any, ...]:
    """Return all of an output but its number and its bits."""
    return (
        *(output.phase, output.module, output.operation, output.sample),
        *(output.output, output.dtype, output.shape),
    )


def _visits(trace: OperationTrace) -> list[tuple[Output, ...]]:
    return [tuple(outputs) for _, outputs in groupby(trace.outputs, _place)]


def _place(output: Output) -> tuple[Any, ...]:
    return output.phase, output.module, output.sample


def _next(trace: OperationTrace, visit: tuple[Output, ...], n: int) -> Output | None:
    if n < len(visit):
        return visit[n]
    following = visit[-1].n if visit else len(trace.outputs)
    return trace.outputs[following] if following < len(trace.outputs) else None


def _kind(ours: Output | None, theirs: Output | None) -> Literal["shape", "operation", "length"]:
    if ours is None or theirs is None:
        return "length"
    is_one = (_place(ours), ours.operation, ours.output) == (_place(theirs), theirs.operation, theirs.output)
    return "shape" if is_one else "operation"


def _is_other(ours: Output | None, theirs: Output | None) -> bool:
    return ours is None or theirs is None or identity(ours) != identity(theirs)


def _n_different(a: OperationTrace, b: OperationTrace) -> int:
    count = 0
    for ours, theirs in zip(a.outputs, b.outputs, strict=False):
        if identity(ours) != identity(theirs):
            break
        count += ours.sha256 != theirs.sha256
    return count
