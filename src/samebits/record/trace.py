"""The trace: one record per optimizer step, each holding the digest of the one before.

Floats are written as hex floats, so that equal text means equal bits.

Source: docs/spec/record.md, clauses R-30 to R-35.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import rfc8785

from samebits.canonical.digests import sha256_bytes
from samebits.canonical.json_bytes import dump_json
from samebits.errors import NonFiniteError, RecordError
from samebits.record.files import is_sha256, parse_object
from samebits.record.layout import MAX_JSON_LINES_BYTES
from samebits.record.manifest import require_keys
from samebits.record.merkle import merkle_root

FIRST_PREVIOUS_SHA256 = "0" * 64
MAX_LINE_BYTES = 1 << 20

_FLOATS = ("loss", "grad_norm", "learning_rate")
_DIGESTS = (
    "token_sha256", "gradients_sha256", "parameters_sha256", "optimizer_sha256", "previous_sha256", "sha256",
)  # fmt: skip
_SAMPLE_DIGESTS = ("sample_tokens_sha256", "sample_gradients_sha256")
_KEYS = {"step", "sample_ids", "n_target_tokens", *_SAMPLE_DIGESTS, *_FLOATS, *_DIGESTS}


def step_record(
    *,
    step: int,
    sample_ids: Sequence[int],
    token_sha256: str,
    loss: float,
    grad_norm: float,
    learning_rate: float,
    gradients_sha256: str,
    parameters_sha256: str,
    optimizer_sha256: str,
    n_target_tokens: int,
    previous_sha256: str,
    sample_tokens_sha256: Sequence[str] | None = None,
    sample_gradients_sha256: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return the record of one optimizer step, with its own digest under "sha256".

    Args:
        step: counted from 1.
        sample_ids: indices of the samples of this step, in the order they were summed.
        token_sha256: digest of the token ids of this step.
        loss: mean over the step's target tokens.
        grad_norm: before clipping.
        learning_rate: of this step's update.
        gradients_sha256: of the gradients before clipping.
        parameters_sha256: of the trained parameters after the update.
        optimizer_sha256: of the optimizer's state after the update.
        previous_sha256: "sha256" of the step before; `FIRST_PREVIOUS_SHA256` at step 1.
        sample_tokens_sha256: of each sample's own token ids, in the order of `sample_ids`.
        sample_gradients_sha256: of each sample's own gradient, in the order of `sample_ids`; None where the engine adds
            up the samples of a pass before anybody sees them.
    Raises:
        NonFiniteError: a loss, norm or learning rate is NaN or infinite.
    """
    floats = {"loss": loss, "grad_norm": grad_norm, "learning_rate": learning_rate}
    for name, value in floats.items():
        if not math.isfinite(value):
            raise NonFiniteError(f"the {name} must be finite", got=str(value), where=f"step {step}")
    record: dict[str, Any] = {
        "step": step,
        "sample_ids": list(sample_ids),
        "n_target_tokens": n_target_tokens,
        **{name: float(value).hex() for name, value in floats.items()},
        "token_sha256": token_sha256,
        "sample_tokens_sha256": None if sample_tokens_sha256 is None else list(sample_tokens_sha256),
        "sample_gradients_sha256": None if sample_gradients_sha256 is None else list(sample_gradients_sha256),
        "gradients_sha256": gradients_sha256,
        "parameters_sha256": parameters_sha256,
        "optimizer_sha256": optimizer_sha256,
        "previous_sha256": previous_sha256,
    }
    return {**record, "sha256": record_sha256(record)}


def trace_bytes(records: Iterable[Mapping[str, Any]]) -> bytes:
    """Return `trace.jsonl`: one canonical JSON line per record."""
    return b"".join(dump_json(dict(record)) for record in records)


def trace_root(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the Merkle root over the records' own digests (R-35)."""
    return merkle_root([bytes.fromhex(record["sha256"]) for record in records])


def read_trace(data: bytes, where: str) -> list[dict[str, Any]]:
    """Read `trace.jsonl` and check its chain from the first line to the last.

    A trace cut at the end of a line is a valid trace of fewer steps: the summary's digest tells it, not the chain.

    Raises:
        RecordError: names the first line that is damaged or does not follow from the one before.
    """
    if len(data) > MAX_JSON_LINES_BYTES:
        raise RecordError(f"a trace must have at most {MAX_JSON_LINES_BYTES} bytes", got=str(len(data)), where=where)
    *lines, rest = data.split(b"\n")
    if rest:
        raise RecordError(
            "every line of a trace must end in a line feed", got="a cut one", where=f"{where}, line {len(lines) + 1}"
        )
    if not lines:
        raise RecordError("a trace must have one step or more", got="none", where=where)
    records: list[dict[str, Any]] = []
    previous_sha256 = FIRST_PREVIOUS_SHA256
    for number, line in enumerate(lines, start=1):
        record = _read_line(line, f"{where}, line {number}")
        _check_link(record, number, previous_sha256, f"{where}, line {number}")
        previous_sha256 = record["sha256"]
        records.append(record)
    return records


def check_record(record: Mapping[str, Any], where: str) -> None:
    """Check one record by itself: that it is one, and has the digest that it states.

    Raises:
        RecordError: it is not.
    """
    found = _read_line(dump_json(dict(record)).rstrip(b"\n"), where)
    if found["sha256"] != record_sha256(found):
        raise RecordError("a record must have the digest it states (it was changed)", where=where)


def record_sha256(record: Mapping[str, Any]) -> str:
    """Return the digest that a record must state under "sha256" (R-32)."""
    return sha256_bytes(dump_json({key: value for key, value in record.items() if key != "sha256"}))


def _read_line(line: bytes, where: str) -> dict[str, Any]:
    if len(line) > MAX_LINE_BYTES:
        raise RecordError(f"a line must have at most {MAX_LINE_BYTES} bytes", got=str(len(line)), where=where)
    record = parse_object(line, where=where)
    require_keys(record, _KEYS, where)
    for name in ("step", "n_target_tokens"):
        if type(record[name]) is not int or record[name] < 0:
            raise RecordError(f"{name} must be a whole number from 0", got=repr(record[name]), where=where)
    ids = record["sample_ids"]
    if not isinstance(ids, list) or not all(type(index) is int and index >= 0 for index in ids):
        raise RecordError("sample_ids must be a list of whole numbers from 0", where=where)
    for name in _DIGESTS:
        if not is_sha256(record[name]):
            raise RecordError(f"{name} must be 64 lower-case hex digits", got=repr(record[name]), where=where)
    for name in _SAMPLE_DIGESTS:
        _check_sample_digests(name, record, where)
    for name in _FLOATS:
        _check_hex_float(name, record[name], where)
    if rfc8785.dumps(record) != line:
        raise RecordError("a line must be canonical JSON (RFC 8785)", where=where)
    return record


def _check_sample_digests(name: str, record: Mapping[str, Any], where: str) -> None:
    digests = record[name]
    if digests is None:
        return
    if not isinstance(digests, list) or len(digests) != len(record["sample_ids"]) or not all(map(is_sha256, digests)):
        raise RecordError(f"{name} must be null or 64 lower-case hex digits for each of sample_ids", where=where)


def _check_hex_float(name: str, text: Any, where: str) -> None:
    try:
        value = float.fromhex(text)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value) or value.hex() != text:
        raise RecordError(f"{name} must be a finite hex float", got=repr(text), where=where)


def _check_link(record: Mapping[str, Any], number: int, previous_sha256: str, where: str) -> None:
    if record["sha256"] != record_sha256(record):
        raise RecordError("a record must have the digest it states (it was changed)", where=where)
    if record["previous_sha256"] != previous_sha256:
        raise RecordError(
            "a record must hold the digest of the one before (a line was removed, added, moved or changed)",
            got=record["previous_sha256"][:12],
            where=where,
        )
    if record["step"] != number:
        raise RecordError(f"this must be step {number}", got=str(record["step"]), where=where)
