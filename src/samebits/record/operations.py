"""Operation traces: the digest of every output of one step, in the order in which they were made.

    observed/operations/step-00000007.jsonl         a header line, then a line for each output
    observed/operations/step-00000007.safetensors   the outputs that were kept, named by their numbers; may be absent

Source: docs/spec/record.md, clauses R-60 to R-66.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rfc8785

from samebits.canonical.atomic import sync_folder, write_atomic
from samebits.canonical.json_bytes import dump_json
from samebits.canonical.safetensors_file import (
    NUMPY_DTYPES,
    TensorFile,
    dtype_name,
    tensor_sha256,
    write_safetensors,
)
from samebits.errors import RecordError, StorageError
from samebits.record.checkpoint import MAX_STEP
from samebits.record.files import is_sha256, open_regular, parse_object, read_bytes, refuse_link
from samebits.record.layout import MAX_JSON_LINES_BYTES, RECORD_VERSION, RunFolder
from samebits.record.manifest import require_keys

Level = Literal["module", "op"]
Phase = Literal["forward", "backward", "update"]
Array = np.ndarray[Any, Any]

LEVELS = ("module", "op")
PHASES = ("forward", "backward", "update")
FOLDER = "observed/operations"
MAX_LINE_BYTES = 4096
MAX_OUTPUTS = 10**7
# NumPy has no more.
MAX_DIMENSIONS = 64

_FILE = re.compile(r"step-([0-9]{8})\.jsonl")
_MODULE = re.compile(r"[A-Za-z0-9_.-]{0,256}")
_OPERATION = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_ISA = re.compile(r"[A-Za-z0-9_ .-]{1,64}")


@dataclass(frozen=True)
class Output:
    """One output of one operation, or of one module.

    Args:
        n: its number in the step, from 1.
        module: as the base names it, `transformer.h.0.attn.c_attn`; empty outside every module.
        operation: `linear` on portable arithmetic, `aten::addmm` under stock; at level `module` the module's class.
        sample: place in the training split; None where several samples, or none, are in it.
        output: which of the operation's outputs, from 0.
        dtype: as safetensors names it.
        sha256: digest of the tensor (R-09).
    """

    n: int
    phase: Phase
    module: str
    operation: str
    sample: int | None
    output: int
    dtype: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class Header:
    """What was traced, and what decides its bits beside the recipe.

    Args:
        numerics: the profile.
        numerics_version: of the portable arithmetic; None under stock.
        isa: the instruction set of the kernels, as `observed/execution.json` tells it.
        libraries: versions by name, likewise.
        recipe_sha256: of the bytes of `golden/recipe.json`.
        trace_line_sha256: `sha256` of the step's line of `trace.jsonl`, as this machine made it.
    """

    level: Level
    step: int
    numerics: str
    numerics_version: int | None
    isa: str | None
    n_threads: int
    libraries: Mapping[str, str | None]
    recipe_sha256: str
    trace_line_sha256: str


@dataclass(frozen=True)
class OperationTrace:
    """The outputs of one step in order, and by their numbers those tensors that were kept; none, where it was read."""

    header: Header
    outputs: tuple[Output, ...]
    tensors: Mapping[int, Array] = field(default_factory=dict)


def operations_file(step: int) -> str:
    """Return where a run folder keeps the operation trace of a step."""
    return f"{FOLDER}/step-{step:08d}.jsonl"


def traced_steps(run: RunFolder) -> dict[int, str]:
    """Return the traces of a run folder by step, oldest first; nothing is read yet.

    Raises:
        RecordError: the folder is a link or no folder.
    """
    folder = run.path / FOLDER
    refuse_link(run.observed)
    refuse_link(folder)
    if not folder.is_dir():
        return {}
    found = [match for name in os.listdir(folder) if (match := _FILE.fullmatch(name))]  # noqa: PTH208 (names alone)
    return {int(match[1]): f"{FOLDER}/{match[0]}" for match in sorted(found, key=lambda match: match[0])}


def output_of(
    array: Array, n: int, *, phase: Phase, module: str, operation: str, sample: int | None, output: int
) -> Output:
    """Return the line of an output, the digest taken of the array as it is now."""
    shape = tuple(array.shape)
    return Output(n, phase, module, operation, sample, output, dtype_name(array), shape, tensor_sha256(array))


class Recorder:
    """Collects the outputs of one step.

    Args:
        keep: numbers of the outputs whose tensors are copied too.
    """

    def __init__(self, keep: Container[int] = ()) -> None:
        self._keep, self._outputs, self._tensors = keep, list[Output](), dict[int, Array]()

    def add(self, array: Array, **place: Any) -> None:
        """Take one output as it is now; `place` is what `output_of` takes."""
        n = len(self._outputs) + 1
        self._outputs.append(output_of(array, n, **place))
        if n in self._keep:
            self._tensors[n] = np.array(array)

    def trace(self, header: Header) -> OperationTrace:
        """Return all that was collected."""
        return OperationTrace(header, tuple(self._outputs), self._tensors)


def operations_bytes(trace: OperationTrace) -> bytes:
    """Return `step-*.jsonl`: the header, then one canonical JSON line for each output."""
    header = {"record_version": RECORD_VERSION, "n_outputs": len(trace.outputs), **asdict(trace.header)}
    lines = ({**vars(output), "shape": list(output.shape)} for output in trace.outputs)
    return b"".join(map(dump_json, (header, *lines)))


def write_operations(folder: Path, trace: OperationTrace) -> Path:
    """Write a trace into a folder, over an earlier one of the same step, and the tensors that were kept beside it.

    Returns:
        the `.jsonl` file; it is written last.
    Raises:
        RecordError: the trace is longer than a reader takes, or the folder is a link.
        StorageError: the disk refused.
    """
    path = folder / Path(operations_file(trace.header.step)).name
    data = operations_bytes(trace)
    if len(data) > MAX_JSON_LINES_BYTES:
        must = f"an operation trace must have at most {MAX_JSON_LINES_BYTES} bytes"
        raise RecordError(must, got=str(len(data)), where=str(path), remedy="trace at level module")
    refuse_link(folder)
    tensors = _tensors_path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)
        # A kill between the two must not leave the tensors of one trace beside the lines of another.
        path.unlink(missing_ok=True)
        tensors.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError("the disk must take the folder", got=str(error), where=str(folder)) from error
    if trace.tensors:
        write_safetensors(tensors, {_tensor_name(n): array for n, array in trace.tensors.items()})
    write_atomic(path, data)
    return path


def read_operations(root: Path, relative: str) -> OperationTrace:
    """Read a trace, its tensors left where they are (`kept_output`).

    Args:
        root: the run folder, or any folder whose content is a stranger's.
        relative: path below it, as `operations_file` gives it.
    Raises:
        RecordError: no regular file, too large, or a line that is not what the clauses say; it names the line.
    """
    where = str(root / relative)
    *lines, rest = read_bytes(root, relative).split(b"\n")
    if rest or not lines:
        raise RecordError("every line of an operation trace must end in a line feed", got="a cut one", where=where)
    header, n_outputs = _read_header(lines[0], f"{where}, line 1")
    if len(lines) - 1 != n_outputs:
        raise RecordError(
            "an operation trace must have as many lines as its header says",
            got=f"{len(lines) - 1} for {n_outputs}",
            where=where,
        )
    outputs = tuple(_read_output(line, n, f"{where}, line {n + 1}") for n, line in enumerate(lines[1:], start=1))
    return OperationTrace(header, outputs)


def kept_output(root: Path, relative: str, output: Output) -> Array | None:
    """Return the tensor of one output; None where it was not kept. bfloat16 comes as its uint16 bits.

    Args:
        root: as for `read_operations`, like `relative`.
        output: one of that trace's.
    Raises:
        RecordError: no safetensors file, or another tensor than the trace's line tells.
    """
    path = _tensors_path(Path(relative))
    if not os.path.lexists(root / path):
        return None
    open_regular(root, path.as_posix()).close()
    file, name = TensorFile(root / path), _tensor_name(output.n)
    if name not in file.tensors:
        return None
    info = file.tensors[name]
    if (info.dtype, info.shape) != (output.dtype, output.shape) or file.sha256_of(name) != output.sha256:
        where = f"tensor {name} of {root / path}"
        raise RecordError("a kept tensor must be the one that the trace's line tells", got="another", where=where)
    return np.array(file.array(name))


def _tensors_path(path: Path) -> Path:
    return path.with_suffix(".safetensors")


def _tensor_name(n: int) -> str:
    return f"{n:08d}"


def _read_header(line: bytes, where: str) -> tuple[Header, int]:
    document = _read_line(line, {"record_version", "n_outputs", *Header.__dataclass_fields__}, where)
    if document.pop("record_version") != RECORD_VERSION:
        raise RecordError(f"an operation trace must have record_version {RECORD_VERSION}", where=where)
    n_outputs, isa, libraries = document.pop("n_outputs"), document["isa"], document["libraries"]
    version = document["numerics_version"]
    _require(_is_count(n_outputs, 0, MAX_OUTPUTS), "n_outputs must be a whole number", n_outputs, where)
    _require(document["level"] in LEVELS, f"level must be one of {', '.join(LEVELS)}", document["level"], where)
    _require(_is_count(document["step"], 1, MAX_STEP), "step must be a whole number from 1", document["step"], where)
    _require(_is_text(document["numerics"], _ISA), "numerics must be a profile", document["numerics"], where)
    _require(version is None or _is_count(version, 1), "numerics_version must be a number or null", version, where)
    _require(isa is None or _is_text(isa, _ISA), "isa must be the name of an instruction set or null", isa, where)
    _require(_is_count(document["n_threads"], 1), "n_threads must be 1 or more", document["n_threads"], where)
    versions = list(libraries.values()) if isinstance(libraries, dict) else [0]
    _require(
        all(text is None or isinstance(text, str) for text in versions),
        "libraries must map names to versions",
        libraries,
        where,
    )
    for name in ("recipe_sha256", "trace_line_sha256"):
        _require(is_sha256(document[name]), f"{name} must be 64 lower-case hex digits", document[name], where)
    return Header(**document), n_outputs


def _read_output(line: bytes, n: int, where: str) -> Output:
    document = _read_line(line, set(Output.__dataclass_fields__), where)
    sample, shape = document["sample"], document["shape"]
    _require(document["n"] == n and type(document["n"]) is int, f"n must be {n}", document["n"], where)
    _require(document["phase"] in PHASES, f"phase must be one of {', '.join(PHASES)}", document["phase"], where)
    _require(_is_text(document["module"], _MODULE), "module must be the name of a module", document["module"], where)
    _require(_is_text(document["operation"], _OPERATION), "operation must be a name", document["operation"], where)
    _require(sample is None or _is_count(sample, 0), "sample must be a whole number from 0 or null", sample, where)
    _require(_is_count(document["output"], 0), "output must be a whole number from 0", document["output"], where)
    is_dtype = isinstance(document["dtype"], str) and document["dtype"] in NUMPY_DTYPES
    _require(is_dtype, f"dtype must be one of {', '.join(NUMPY_DTYPES)}", document["dtype"], where)
    is_shape = isinstance(shape, list) and len(shape) <= MAX_DIMENSIONS and all(_is_count(size, 0) for size in shape)
    _require(is_shape, "shape must be a list of whole numbers from 0", shape, where)
    _require(is_sha256(document["sha256"]), "sha256 must be 64 lower-case hex digits", document["sha256"], where)
    return Output(**{**document, "shape": tuple(shape)})


def _read_line(line: bytes, keys: set[str], where: str) -> dict[str, Any]:
    if len(line) > MAX_LINE_BYTES:
        raise RecordError(f"a line must have at most {MAX_LINE_BYTES} bytes", got=str(len(line)), where=where)
    document = parse_object(line, where=where)
    require_keys(document, keys, where)
    if rfc8785.dumps(document) != line:
        raise RecordError("a line must be canonical JSON (RFC 8785)", where=where)
    return document


def _require(holds: bool, must: str, got: Any, where: str) -> None:
    if not holds:
        raise RecordError(must, got=repr(got)[:80], where=where)


def _is_count(value: Any, least: int, most: int = 2**53 - 1) -> bool:
    return type(value) is int and least <= value <= most


def _is_text(value: Any, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
