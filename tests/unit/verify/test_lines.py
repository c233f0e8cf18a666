from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samebits.verify.difference import Difference
from samebits.verify.lines import compare_lines

TEXT = b"one\ntwo\nthree\nfour\n"


def compared(golden: bytes, candidate: bytes, *, is_json: bool = False) -> Difference:
    difference = compare_lines(golden, candidate, "file", is_json=is_json)
    assert difference is not None
    return difference


@given(st.binary())
def test_same(text: bytes) -> None:
    assert compare_lines(text, text, "file") is None


@given(st.lists(st.sampled_from([b"a", b"b", b"", b"\r", b"\xff"])), st.lists(st.sampled_from([b"a", b"b", b""])))
def test_any_two_texts_that_differ_are_told_apart(golden: list[bytes], candidate: list[bytes]) -> None:
    ours, theirs = b"\n".join(golden), b"\n".join(candidate)
    assert (compare_lines(ours, theirs, "file") is None) == (ours == theirs)


def test_known_difference_shows_the_first_line() -> None:
    difference = compared(TEXT, TEXT.replace(b"two", b"tvo").replace(b"four", b"five"))
    assert difference.note == "2 of 4 lines differ, first line 2"
    (line,) = difference.children
    assert (line.where, line.golden, line.candidate, line.note) == ("line 2", "two", "tvo", "first different byte 1")


@pytest.mark.parametrize(
    ("candidate", "note"),
    [
        (b"one\ntwo\nfour\n", "line 3 is missing, every other line is the same"),
        (b"one\nfour\n", "lines 2 to 3 are missing, every other line is the same"),
        (b"one\ntwo\nnew\nthree\nfour\n", "line 3 is added, every other line is the same"),
        (b"one\nX\nY\nthree\nfour\n", "4 lines became 5, first different is line 2"),
        (b"one\nthree\ntwo\nfour\n", "lines 2 and 3 are exchanged, every line is otherwise the same"),
        (b"two\nthree\none\nfour\n", "the same lines in another order: 3 of 4 moved, the first is line 1"),
        (TEXT.replace(b"\n", b"\r\n"), "the same text; line ends became CRLF"),
        (b"\xef\xbb\xbf" + TEXT, "the same text; a byte order mark was added"),
        (TEXT[:-1], "the same text; the final line feed was removed"),
        (TEXT.decode().encode("utf-16"), "the same text, saved as UTF-16"),
        (
            b"\xef\xbb\xbf" + TEXT.replace(b"\n", b"\r\n"),
            "the same text; a byte order mark was added and line ends became CRLF",
        ),
    ],
)
def test_each_change_is_told_for_what_it_is(candidate: bytes, note: str) -> None:
    assert compared(TEXT, candidate).note == note


def test_conversions_are_told_in_both_directions() -> None:
    assert compared(TEXT.replace(b"\n", b"\r\n"), TEXT).note == "the same text; line ends became LF"
    assert compared(b"\xef\xbb\xbfa\n", b"a\n").note == "the same text; a byte order mark was removed"
    assert compared(b"a", b"a\n").note == "the same text; the final line feed was added"
    assert compared(b"a\r\nb\n", b"a\nb\r\n").note == "the same text; line ends are mixed otherwise"


def test_json_lines_are_compared_key_by_key() -> None:
    difference = compared(b'{"a":1,"b":2}\n{"a":3}\n', b'{"a":1,"b":2}\n{"a":4}\n', is_json=True)
    (line,) = difference.children
    assert (line.where, [child.where for child in line.children]) == ("line 2", ["a"])
    (line,) = compared(b'{"a":1,"b":2}\n', b'{"b":2,"a":1}\n', is_json=True).children
    assert (line.kind, line.note) == ("layout", "the same values, other layout")
    (line,) = compared(b"1\n", b"2\n", is_json=True).children
    assert (line.where, line.children[0].golden) == ("line 1", 1)


def test_damaged_json_line_is_named() -> None:
    (line,) = compared(b'{"a":1}\n', b'{"a":1\n', is_json=True).children
    assert line.note.startswith("no longer JSON: ")


def test_bad_utf8_is_named_with_its_place() -> None:
    (line,) = compared(b"abc\n", b"ab\xff\n").children
    assert line.note == "first different byte 2; not UTF-8: byte 0xff at byte 2 of the line"
    assert line.candidate == "ab\\xff"


def test_a_long_line_is_shown_around_its_difference() -> None:
    (line,) = compared(b"x" * 5000 + b"A" + b"y" * 5000, b"x" * 5000 + b"B" + b"y" * 5000).children
    assert len(line.golden) < 200
    assert "A" in line.golden
    assert "B" in line.candidate
    assert line.golden.startswith("...")
    assert line.golden.endswith("...")
