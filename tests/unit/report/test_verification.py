from __future__ import annotations

from pathlib import Path

from samebits.report.verification import render_verification
from samebits.verify.difference import Comparison, Difference
from samebits.verify.spots import Choice, Segment
from samebits.verify.verification import Verification

RUN, DIGEST = Path("run"), "ab" * 32


def rendered(found: Verification, width: int | None = None) -> list[str]:
    return render_verification(found, engine="hand", width=width).split("\n")


def test_a_whole_run() -> None:
    comparison = Comparison(RUN, RUN, None, n_files=7, n_same_files=7)
    found = Verification(RUN, DIGEST, 200, ((1, 200),), comparison=comparison, remarks=("a\nb",))
    assert rendered(found) == [
        "SAME  run",
        f"  digest     {DIGEST}",
        "  rebuilt    all 200 steps, by hand",
        "  steps      each has the recorded line of the trace, bit for bit",
        "  files      7 of 7 golden files, made anew, are the same, bit for bit",
        "  note: a\\nb",
        "",
    ]


def test_spots() -> None:
    choice = Choice((Segment(11, 20, RUN), Segment(31, 31, RUN)), 20, "se\x1bed")
    found = Verification(RUN, DIGEST, 200, ((11, 20), (31, 31)), choice)
    assert rendered(found)[2:] == [
        "  rebuilt    11 of 200 steps (11 to 20, 31), by hand",
        "  steps      each has the recorded line of the trace, bit for bit",
        "  files      the adapter is the last step's; results, generations and settings were not made anew",
        "  chance     90 % that a cheat in one step goes unseen: 2 of 20 segments were drawn, each equally likely",
        "  seed       se\\x1bed",
        "",
    ]


def test_a_chance_is_never_told_smaller_than_it_is() -> None:
    for n_segments, told in ((3, "66.667 %"), (7, "85.715 %"), (1, "0 %"), (20, "95 %"), (100_001, "100 %")):
        choice = Choice((Segment(1, 1, None),), n_segments, "x")
        text = "\n".join(rendered(Verification(RUN, DIGEST, 7, ((1, 1),), choice)))
        assert f"  {told} that a cheat" in text


def test_a_step_that_differs() -> None:
    steps = tuple(
        Difference("step", f"step {n}", note="first the loss", children=(Difference("value", "loss", "0x1", "0x2"),))
        for n in range(1, 6)
    )
    lines = rendered(Verification(RUN, DIGEST, 9, ((1, 9),), steps=steps, next_steps=("do",)))
    assert lines[0] == "DIFFERENT  run"
    assert "  steps      5 differ from the recorded line of the trace" in lines
    assert [line.split()[0] for line in lines if "golden" in line] == ["loss:"] * 3
    assert lines[-4:] == ["and 2 more steps; --json lists them", "", "next: do", ""]


def test_what_is_asked_for_is_asked_for_by_the_whole_digest() -> None:
    fault = Difference("incomplete", "", note=f"the base must be {DIGEST}", is_proven=False)
    assert rendered(Verification(RUN, fault=fault)) == [
        "UNDECIDED  run", "", f"cannot tell: the base must be {DIGEST}", "",
    ]  # fmt: skip


def test_an_edited_run() -> None:
    fault = Difference(
        "edited", "artifact_summary.json", note="changed", children=(Difference("edited", "a", note="b"),)
    )
    assert rendered(Verification(RUN, fault=fault)) == [
        "DIFFERENT  run", "", "artifact_summary.json: changed", "  a: b", "",
    ]  # fmt: skip


def test_it_wraps_on_a_terminal() -> None:
    choice = Choice((Segment(11, 20, RUN),), 20, "x")
    assert max(map(len, rendered(Verification(RUN, DIGEST, 200, ((11, 20),), choice), width=80))) <= 80
