"""Each way in which two layers can differ, planted alone, gets its own name."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace

import pytest
from tests.unit.images.conftest import EPOCH, PLAIN, File, layer_of

from samebits.errors import ImageError
from samebits.images.layers import compare_entries, read_entries

PYC = File("app/__pycache__/a.pyc", b"\xa7\r\r\n" + bytes(12) + b"code")
_OTHER_CLOCK = replace(PYC, data=b"\xa7\r\r\n" + bytes(4) + b"12345678" + b"code")
_OTHER_CODE = replace(PYC, data=b"\xa7\r\r\n" + bytes(12) + b"CODE")


def found(golden: tuple[File, ...], candidate: tuple[File, ...]) -> list[tuple[str, str]]:
    sides = [read_entries(io.BytesIO(layer_of(files))) for files in (golden, candidate)]
    return [(finding.cause, finding.path) for finding in compare_entries("layer 1", *sides)]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"mtime": EPOCH + 1}, "clock"),
        ({"pax": {"atime": "1.5"}}, "clock"),
        ({"pax": {"mtime": "1767225600.25"}}, "clock"),
        ({"uid": 1000}, "owner"),
        ({"mode": 0o664}, "mode"),
        ({"data": b"texT\n"}, "content"),
        ({"pax": {"SCHILY.xattr.user.a": "1"}}, "attributes"),
        ({"name": "app/c.py"}, "missing"),
    ],
)
def test_a_change_of_one_file_is_named(change: dict[str, object], cause: str) -> None:
    changed = tuple(replace(file, **change) if file.name == "app/a.py" else file for file in PLAIN)  # type: ignore[arg-type]
    findings = found(PLAIN, changed)
    assert findings[0] == (cause, "app/a.py")
    assert [name for name, _ in findings[1:]] == (["added"] if cause == "missing" else [])


def test_a_symbolic_link_to_elsewhere_is_named() -> None:
    assert found(PLAIN, (*PLAIN[:-1], replace(PLAIN[-1], link="b.py"))) == [("link", "app/link")]


def test_a_link_that_became_a_file_is_named() -> None:
    changed = (*PLAIN[:-1], replace(PLAIN[-1], kind=tarfile.REGTYPE, link=""))
    assert ("type", "app/link") in found(PLAIN, changed)


def test_an_order_is_named_with_the_first_entry_out_of_place() -> None:
    assert found(PLAIN, (PLAIN[0], PLAIN[2], PLAIN[1], PLAIN[3])) == [("order", "app/a.py")]


def test_an_entry_that_stands_there_twice_is_no_silence() -> None:
    assert found(PLAIN, (*PLAIN, PLAIN[1])) == [("order", "4 entries")]


@pytest.mark.parametrize(("candidate", "word"), [(_OTHER_CLOCK, "header"), (_OTHER_CODE, "code")])
def test_bytecode_is_named_with_what_of_it_differs(candidate: File, word: str) -> None:
    sides = [read_entries(io.BytesIO(layer_of((*PLAIN, pyc)))) for pyc in (PYC, candidate)]
    (finding,) = compare_entries("layer 1", *sides)
    assert (finding.cause, finding.path) == ("pyc", PYC.name)
    assert finding.candidate.startswith(word)


def test_bytecode_on_one_side_only_is_named() -> None:
    assert found(PLAIN, (*PLAIN, PYC)) == [("pyc", PYC.name)]


def test_what_no_entry_tells_is_named_as_padding() -> None:
    assert found(PLAIN, PLAIN) == [("padding", "")]


def test_no_tar_is_an_error() -> None:
    with pytest.raises(ImageError, match="must be a tar"):
        read_entries(io.BytesIO(b"x" * 1024))
