from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from samebits.report.text import MAX_CHILDREN, render
from samebits.verify.difference import Comparison, Difference

DIGEST = "0123456789abcdef" * 4


def comparison(difference: Difference | None = None, **fields: Any) -> Comparison:
    return Comparison(Path("golden"), Path("candidate"), difference, **fields)


def test_same_is_short() -> None:
    fields = {"golden_digest": DIGEST, "candidate_digest": DIGEST, "n_files": 7, "n_same_files": 7}
    assert render([comparison(**fields)]) == (
        f"SAME  candidate\n  against    golden\n  digest     {DIGEST}\n  7 of 7 files are the same, bit for bit\n"
    )


def test_verdict_tree_machines_next_in_this_order() -> None:
    element = Difference("tensor", "a.weight", "0x1.8f3p-5", "0x1.8f4p-5", "F32 [2], first at [1]: 1 of 2 elements")
    tree = Difference("run", "", children=(Difference("file", "x.safetensors", note="1 differs", children=(element,)),))
    rows = (("execution.n_threads", 2, 16),)
    text = render([comparison(tree, remarks=("mind this",), next_steps=("do that",), environment=rows)])
    assert text == (
        "DIFFERENT  candidate\n"
        "  against    golden\n"
        "  note: mind this\n"
        "\n"
        "x.safetensors: 1 differs\n"
        "  a.weight: F32 [2], first at [1]: 1 of 2 elements\n"
        "    golden 0x1.8f3p-5   candidate 0x1.8f4p-5\n"
        "\n"
        "the recorded machines differ in 1 field (observed, never part of the verdict)\n"
        "                       golden  candidate\n"
        "  execution.n_threads  2       16\n"
        "\n"
        "next: do that\n"
    )


def test_undecided_says_cannot_tell() -> None:
    text = render([comparison(Difference("unreadable", "", note="the path must exist", is_proven=False))])
    assert text.startswith("UNDECIDED  candidate\n")
    assert "cannot tell: the path must exist\n" in text


def test_digests_are_cut_but_the_golden_digest() -> None:
    node = Difference("value", "k", DIGEST, "f" * 64, f"sha256 {DIGEST}")
    text = render([comparison(Difference("run", "", children=(node,)), golden_digest=DIGEST, candidate_digest=None)])
    assert text.count(DIGEST) == 1
    assert "golden 0123456789ab   candidate ffffffffffff" in text
    assert "candidate  no digest: not every file was read" in text


def test_several_candidates_open_with_the_worst() -> None:
    undecided = Difference("unreadable", "", note="x", is_proven=False)
    text = render([comparison(), comparison(undecided), comparison(Difference("bytes", "f", "00", "01"))])
    assert text.startswith("DIFFERENT  3 candidates: 1 same, 1 different, 1 undecided\n\nSAME  candidate\n")


@pytest.mark.parametrize(
    "hostile", ["\x1b[2J", "\x1b]0;title\x07", "a\nVERDICT", "\u202egnp", "\x9b31m", "\udcff", "\r"]
)
def test_a_strangers_text_never_reaches_the_terminal_raw(hostile: str) -> None:
    node = Difference(
        "value",
        hostile,
        hostile,
        {hostile: [hostile]},
        hostile,
        children=(Difference("line", hostile, hostile, hostile),),
    )
    leaf = Difference("line", hostile, hostile, hostile, hostile)
    full = Comparison(
        Path(f"g{hostile}"),
        Path(f"c{hostile}"),
        Difference("run", "", children=(node, leaf, Difference("renamed", hostile, hostile, hostile))),
        remarks=(hostile,),
        next_steps=(hostile,),
        environment=((hostile, hostile, [hostile]),),
    )
    text = render([full])
    assert hostile not in text
    assert all(line.isprintable() for line in text.split("\n"))
    text.encode()


def test_long_lists_and_values_are_cut() -> None:
    many = tuple(Difference("value", f"k{i}", "x" * 10_000, None) for i in range(MAX_CHILDREN + 5))
    rows = tuple((f"env.field{i}", "y" * 500, None) for i in range(100))
    text = render([comparison(Difference("run", "", children=many), environment=rows)])
    assert "and 5 more; --json lists them" in text
    assert "and 88 more; --json lists them" in text
    assert "not told" in text
    assert max(map(len, text.splitlines())) < 200


def test_distributions_and_variables_stand_last() -> None:
    rows = (("env.distributions.a.version", "1", "2"), ("env.time_zone", "a", "b"))
    text = render([comparison(environment=rows)])
    assert text.index("env.time_zone") < text.index("env.distributions")


def test_machines_that_agree_are_said_to() -> None:
    assert "the recorded machines agree in every field" in render([comparison(environment=())])


def test_text_and_number_look_different() -> None:
    text = render([comparison(Difference("run", "", children=(Difference("value", "k", 1, "1"),)))])
    assert 'k: golden 1   candidate "1"' in text


def test_white_space_is_seen() -> None:
    leaf = Difference("line", "line 1", "a", "a ", "first different byte 1")
    assert 'candidate "a "' in render([comparison(Difference("run", "", children=(leaf,)))])


def test_null_is_a_value_and_absence_is_none() -> None:
    children = (
        Difference("value", "k", None, 1),
        Difference("missing", "m", None, None, "the candidate lacks this key"),
    )
    text = render([comparison(Difference("run", "", children=children))])
    assert "k: golden null   candidate 1" in text


@pytest.mark.parametrize("width", [40, 60, 100])
def test_lines_keep_to_the_terminal(width: int) -> None:
    note = "many words that say what differs here " * 6
    tree = Difference("run", "", children=(Difference("file", "name", "left", "right", note),))
    text = render([comparison(tree, next_steps=(note,))], width=width)
    assert max(map(len, text.splitlines())) <= width
    assert note.split() == [word for word in text.split() if word in note.split()][: len(note.split())]
    assert note.strip() in render([comparison(tree)])
