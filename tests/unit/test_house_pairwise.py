"""The rows by which tools/check_invariance.py varies everything: no pair of values is left out."""

import runpy
from pathlib import Path
from typing import Any

import pytest

FACTORS = {"threads": ("1", "2", "3", "8"), "isa": ("baseline", "avx2"), "killed": ("no", "yes"), "locale": ("C",)}


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    return runpy.run_path(str(Path(__file__).parents[2] / "tools" / "pairwise.py"))


def test_every_pair_stands_in_a_row(tool: dict[str, Any]) -> None:
    rows = tool["cover"](FACTORS)
    assert all(
        any(row[one] == left and row[other] == right for row in rows)
        for one in FACTORS
        for other in FACTORS
        if one != other
        for left in FACTORS[one]
        for right in FACTORS[other]
    )
    assert len(rows) == 8, "no more rows than the two longest factors demand"
    assert all(list(row) == list(FACTORS) for row in rows)


def test_pairs_are_counted(tool: dict[str, Any]) -> None:
    assert len(tool["pairs_of"](FACTORS)) == 4 * 2 + 4 * 2 + 4 + 2 * 2 + 2 + 2


def test_a_missing_pair_is_found(tool: dict[str, Any]) -> None:
    rows = tool["cover"](FACTORS)
    assert tool["uncovered"](FACTORS, rows) == set()
    kept = [row for row in rows if (row["threads"], row["isa"]) != ("3", "avx2")]
    assert (("threads", "3"), ("isa", "avx2")) in tool["uncovered"](FACTORS, kept)


def test_rows_do_not_depend_on_anything_but_the_factors(tool: dict[str, Any]) -> None:
    assert tool["cover"](FACTORS) == tool["cover"](dict(FACTORS))
