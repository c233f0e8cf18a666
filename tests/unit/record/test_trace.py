"""The trace's chain (R-30 to R-34)."""

import math
from typing import Any

import pytest

from samebits.canonical.digests import sha256_bytes
from samebits.canonical.json_bytes import dump_json
from samebits.errors import NonFiniteError, RecordError
from samebits.record import trace
from samebits.record.merkle import merkle_root
from samebits.record.trace import FIRST_PREVIOUS_SHA256, read_trace, step_record, trace_bytes, trace_root

DIGEST = sha256_bytes(b"x")
FIELDS: dict[str, Any] = {
    "step": 1, "sample_ids": [3, 1], "token_sha256": DIGEST, "loss": 0.1, "grad_norm": 5e-324, "learning_rate": 0.0,
    "gradients_sha256": DIGEST, "parameters_sha256": DIGEST, "optimizer_sha256": DIGEST, "n_target_tokens": 7,
    "previous_sha256": FIRST_PREVIOUS_SHA256,
}  # fmt: skip


def _sealed(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with the digest that belongs to it: a forger can compute it too."""
    rest = {key: value for key, value in record.items() if key != "sha256"}
    return {**rest, "sha256": sha256_bytes(dump_json(rest))}


def test_a_record_holds_hex_floats_and_its_own_digest() -> None:
    record = step_record(**FIELDS)
    assert (record["loss"], record["grad_norm"]) == ("0x1.999999999999ap-4", "0x0.0000000000001p-1022")
    assert record == _sealed(record)
    assert float.fromhex(record["loss"]) == 0.1


def test_what_is_written_is_read(records: list[dict[str, Any]]) -> None:
    assert read_trace(trace_bytes(records), "here") == records
    assert records[0]["previous_sha256"] == "0" * 64
    assert [record["previous_sha256"] for record in records[1:]] == [record["sha256"] for record in records[:-1]]


@pytest.mark.parametrize("name", ["loss", "grad_norm", "learning_rate"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_step_that_is_not_finite_ends_the_run(name: str, value: float) -> None:
    with pytest.raises(NonFiniteError, match=rf"{name} must be finite.*step 1"):
        step_record(**{**FIELDS, name: value})


def test_every_flipped_bit_is_refused(records: list[dict[str, Any]]) -> None:
    data = trace_bytes(records)
    for place in range(0, len(data), 7):
        for bit in (0, 5):
            damaged = bytearray(data)
            damaged[place] ^= 1 << bit
            line = data[:place].count(b"\n") + 1
            with pytest.raises(RecordError, match=rf"here, line {line}\b|here, line {line + 1}\b"):
                read_trace(bytes(damaged), "here")


def test_a_trace_cut_within_a_line_is_refused_and_one_cut_behind_it_is_shorter(records: list[dict[str, Any]]) -> None:
    data = trace_bytes(records)
    end = data.index(b"\n") + 1
    assert read_trace(data[:end], "here") == records[:1]
    for cut in (1, end - 1, end + 1, len(data) - 1):
        with pytest.raises(RecordError, match="line feed"):
            read_trace(data[:cut], "here")
    with pytest.raises(RecordError, match="one step or more"):
        read_trace(b"", "here")


@pytest.mark.parametrize(
    ("order", "line"), [([1, 2], 1), ([0, 2], 2), ([0, 0, 1, 2], 2), ([1, 0, 2], 1), ([0, 2, 1], 2), ([0, 1, 2, 2], 4)]
)
def test_lines_removed_doubled_and_moved_are_named(records: list[dict[str, Any]], order: list[int], line: int) -> None:
    with pytest.raises(RecordError, match=rf"removed, added, moved.*here, line {line}\)"):
        read_trace(trace_bytes(records[index] for index in order), "here")


def test_a_forged_line_breaks_the_next(records: list[dict[str, Any]]) -> None:
    forged = [records[0], _sealed({**records[1], "loss": (9.0).hex()}), records[2]]
    with pytest.raises(RecordError, match=r"line 3\)"):
        read_trace(trace_bytes(forged), "here")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"step": 2}, "must be step 1"),
        ({"step": True}, "whole number"),
        ({"n_target_tokens": -1}, "whole number"),
        ({"sample_ids": 3}, "list of whole numbers"),
        ({"sample_ids": [True]}, "list of whole numbers"),
        ({"loss": "0x1.8p+1"}, "finite hex float"),
        ({"loss": "1.5"}, "finite hex float"),
        ({"loss": "nan"}, "finite hex float"),
        ({"loss": "inf"}, "finite hex float"),
        ({"loss": "0x1p+5000"}, "finite hex float"),
        ({"loss": 1.5}, "finite hex float"),
        ({"token_sha256": "X"}, "64 lower-case"),
        ({"previous_sha256": "1" * 64}, "the one before"),
        ({"more": 1}, "`more` unknown"),
    ],
)
def test_a_sealed_line_that_breaks_a_clause_is_refused(change: dict[str, Any], said: str) -> None:
    assert read_trace(trace_bytes([_sealed(step_record(**FIELDS))]), "here")
    with pytest.raises(RecordError, match=said):
        read_trace(trace_bytes([_sealed({**step_record(**FIELDS), **change})]), "here")


def test_a_line_in_another_layout_is_refused() -> None:
    line = trace_bytes([step_record(**FIELDS)])
    with pytest.raises(RecordError, match="canonical JSON"):
        read_trace(line.replace(b":", b": ", 1), "here")


def test_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    line = trace_bytes([step_record(**FIELDS)])
    monkeypatch.setattr(trace, "MAX_LINE_BYTES", len(line) - 1)
    assert read_trace(line, "here")
    monkeypatch.setattr(trace, "MAX_LINE_BYTES", len(line) - 2)
    with pytest.raises(RecordError, match="a line must have at most"):
        read_trace(line, "here")
    monkeypatch.setattr(trace, "MAX_JSON_LINES_BYTES", len(line) - 1)
    with pytest.raises(RecordError, match="a trace must have at most"):
        read_trace(line, "here")


@pytest.mark.parametrize(
    "digests", [[DIGEST], [DIGEST, DIGEST, DIGEST], [DIGEST, "x"], [DIGEST, 7], {}, "none"], ids=str
)
@pytest.mark.parametrize("name", ["sample_tokens_sha256", "sample_gradients_sha256"])
def test_each_sample_has_one_digest(name: str, digests: Any) -> None:
    assert read_trace(trace_bytes([step_record(**FIELDS, **{name: [DIGEST, DIGEST]})]), "here")
    with pytest.raises(RecordError, match=f"{name} must be null or 64 lower-case hex digits for each"):
        read_trace(trace_bytes([_sealed({**step_record(**FIELDS), name: digests})]), "here")


def test_the_root_stands_for_every_line(records: list[dict[str, Any]]) -> None:
    root = trace_root(records)
    assert root == merkle_root([bytes.fromhex(record["sha256"]) for record in records])
    for place in range(len(records)):
        assert trace_root([*records[:place], *records[place + 1 :]]) != root
