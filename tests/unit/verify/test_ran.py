from __future__ import annotations

from typing import Any

import pytest

from samebits.verify.ran import excluded, group_of, observed_changes, reaches_portable, told

A: dict[str, Any] = {
    "execution": {"isa": "AVX2", "n_threads": 1, "libraries": {"torch": "2.9", "numpy": "2.4"}, "probes": {"exp": "1"}},
    "env": {"cpu": {"name": "one"}, "memory_bytes": 1, "numerics": {"sources_sha256": "1" * 64, "library_sha256": "2"}},
}


def other(**execution: Any) -> dict[str, Any]:
    return {**A, "execution": {**A["execution"], **execution}}


def test_only_what_can_reach_the_bits_is_a_change() -> None:
    b = {
        "execution": {**A["execution"], "probes": {"exp": "2"}, "environment": "x"},
        "env": {**A["env"], "memory_bytes": 2},
    }
    assert observed_changes(A, b) == ((), True)


def test_groups_and_names() -> None:
    rows, _ = observed_changes(A, other(n_threads=2, libraries={"torch": "3.0", "numpy": "2.4"}))
    assert [(row.group, row.name, row.a, row.b) for row in rows] == [
        ("library", "torch", "2.9", "3.0"),
        ("execution", "n_threads", 1, 2),
    ]
    assert told(rows) == "torch (2.9 and 3.0), n_threads (1 and 2)"


def test_a_side_that_told_nothing_is_no_agreement() -> None:
    assert observed_changes(A, {}) == ((), False)


def test_a_library_of_other_sources_is_told_once() -> None:
    b = {**A, "env": {**A["env"], "numerics": {"sources_sha256": "3" * 64, "library_sha256": "4"}}}
    rows, _ = observed_changes(A, b)
    assert [row.name for row in rows] == ["numerics.sources_sha256"]


def test_a_field_is_ruled_out_where_this_machine_has_the_other_sides_value() -> None:
    rows, _ = observed_changes(A, other(libraries={"torch": "3.0", "numpy": "9"}), other(libraries={"torch": "3.0"}))
    assert [row.name for row in excluded(rows, side_with="A")] == ["torch"]
    assert excluded(rows, side_with="B") == ()


@pytest.mark.parametrize(
    ("field", "group"),
    [
        ("execution.isa", "execution"),
        ("env.cpu.name", "machine"),
        ("env.time_zone.zone", None),
        ("execution.probes.exp", None),
    ],
)
def test_group_of_a_field(field: str, group: str | None) -> None:
    assert group_of(field) == group


def test_on_the_portable_arithmetic_only_code_reaches_a_step() -> None:
    rows, _ = observed_changes(A, other(n_threads=2, libraries={"torch": "3.0", "tokenizers": "1"}))
    assert [row.name for row in rows if reaches_portable(row, "loss")] == []
    assert [row.name for row in rows if reaches_portable(row, "token_sha256")] == ["tokenizers"]
