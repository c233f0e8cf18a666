"""The rows by which everything is varied together: no pair of values is left out."""

from samebits.study.pairwise import cover, pairs_of, uncovered

FACTORS = {"threads": ("1", "2", "3", "8"), "isa": ("baseline", "avx2"), "killed": ("no", "yes"), "locale": ("C",)}


def test_every_pair_stands_in_a_row() -> None:
    rows = cover(FACTORS)
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


def test_pairs_are_counted() -> None:
    assert len(pairs_of(FACTORS)) == 4 * 2 + 4 * 2 + 4 + 2 * 2 + 2 + 2


def test_a_missing_pair_is_found() -> None:
    rows = cover(FACTORS)
    assert uncovered(FACTORS, rows) == set()
    kept = [row for row in rows if (row["threads"], row["isa"]) != ("3", "avx2")]
    assert (("threads", "3"), ("isa", "avx2")) in uncovered(FACTORS, kept)


def test_rows_do_not_depend_on_anything_but_the_factors() -> None:
    assert cover(FACTORS) == cover(dict(FACTORS))
