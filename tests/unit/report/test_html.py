"""The page: whole, offline, escaped, and the same bytes every time."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from samebits.errors import MissingExtraError
from samebits.report.analysis import analyze_folder
from samebits.report.html import percent, render_page, untested_profiles
from samebits.report.scores import Share, not_tested

VOID = {"meta", "br", "path", "use", "line", "rect"}


class Page(HTMLParser):
    """Collects ids, references, tags and text, and notices tags that do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "aria-labelledby", "action") and value:
                self.references.append(value)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def document(make_run: Any, tmp_path: Path) -> dict[str, Any]:
    make_run("a")
    make_run("b")
    make_run("odd", losses=(4.0, 3.5625, 3.25), weight=0.25)
    (make_run("killed") / "artifact_summary.json").unlink()
    return analyze_folder(tmp_path / "runs")


def test_the_page_is_well_formed_with_unique_ids_and_nothing_from_outside(document: dict[str, Any]) -> None:
    page = Page(render_page(document))
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert {reference.removeprefix("#") for reference in page.references} <= set(page.ids)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert "http" not in render_page(document).replace("http://www.w3.org/", "")


def test_the_verdict_stands_first_and_digests_follow(document: dict[str, Any]) -> None:
    text = Page(render_page(document)).text
    body = text[text.index("}", text.rindex("position: static")) :]
    golden = document["recipes"][0]["golden_digest"]
    order = ["Different bits", golden, "Runs by artifact", "First divergence", "Loss by step", "Environments side"]
    positions = [body.index(part) for part in order]
    assert positions == sorted(positions)


@pytest.mark.parametrize(("name", "headline"), [("b", "Same bits"), ("odd", "Different bits")])
def test_the_headline_follows_the_verdict(make_run: Any, tmp_path: Path, name: str, headline: str) -> None:
    make_run("a")
    make_run(name, weight=0.25 if name == "odd" else 0.5)
    assert headline in Page(render_page(analyze_folder(tmp_path / "runs"))).text


def test_one_run_alone_reads_undecided_and_not_tested(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    text = Page(render_page(analyze_folder(tmp_path / "runs"))).text
    assert "Undecided" in text
    assert "not tested" in text
    assert "Same bits" not in text
    assert "100 %" not in text


def test_no_runs_make_a_page_too(tmp_path: Path) -> None:
    text = Page(render_page(analyze_folder(tmp_path))).text
    assert "Undecided" in text


def test_verdicts_are_told_by_words_not_only_by_colour(document: dict[str, Any]) -> None:
    text = Page(render_page(document)).text
    cells = [line.strip() for line in text.splitlines()]
    assert sum(line.endswith("different") for line in cells) >= 2
    assert any(line.endswith("A same") for line in cells)
    assert any(line.startswith("B different") for line in cells)


def test_a_strangers_names_are_escaped(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    make_run("<img src=x onerror=alert(1)>", environment="<script>alert(2)</script>")
    html = render_page(analyze_folder(tmp_path / "runs"))
    assert "<img" not in html
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_the_page_is_the_same_every_time(document: dict[str, Any]) -> None:
    assert render_page(document) == render_page(document)


def test_drawings_take_their_colours_from_the_page(document: dict[str, Any]) -> None:
    html = render_page(document)
    drawing = html[html.index("<figure") : html.rindex("</figure>")]
    assert "currentColor" in drawing
    assert "var(--curve-0)" in drawing
    assert "var(--curve-1)" in drawing
    assert "fill: #" not in drawing
    assert "stroke: #" not in drawing


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_a_missing_library_names_the_extra(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'samebits\[report\]'"):
        render_page(document)


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (Share(2, 3), "66.66 %"),
        (Share(99999, 100000), "99.99 %"),
        (Share(3, 3), "100 %"),
        (Share(1, 20), "5 %"),
        (Share(1, 2000), "0.05 %"),
        (not_tested("x"), "not tested"),
    ],
)
def test_percentages_are_rounded_towards_zero(share: Share, expected: str) -> None:
    assert percent(share.document()) == expected


def two_profiles(make_run: Any) -> None:
    make_run("golden", numerics="portable-f32")
    make_run("repeat", numerics="portable-f32")
    make_run("stock", losses=(4.0, 3.5625, 3.25), eval_loss=3.625)
    make_run("stock-threads-1", weight=0.25)


def test_two_profiles_stand_side_by_side(make_run: Any, tmp_path: Path) -> None:
    two_profiles(make_run)
    document = analyze_folder(tmp_path / "runs")
    html = render_page(document)
    page = Page(html)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    for text in ("Losses of both profiles", "Runs by artifact: portable-f32", "Runs by artifact: stock", "3.625"):
        assert text in page.text
    assert "1 golden digest in 2 runs" in page.text
    assert "2 golden digests in 2 runs" in page.text
    assert all(recipe["golden_digest"] in page.text for recipe in document["recipes"])
    assert page.text.index("1 golden digest in 2") < page.text.index("2 golden digests in 2")


def test_two_recipes_of_one_profile_are_told_apart_by_their_digests(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    make_run("b", seed=7)
    document = analyze_folder(tmp_path / "runs")
    text = Page(render_page(document)).text
    assert "Losses of both profiles" not in text
    assert all(f"stock, recipe {recipe['recipe_sha256'][:12]}" in text for recipe in document["recipes"])


@pytest.mark.parametrize(("below", "expected"), [("", "runs/a 'runs/b c'"), ("runs", "a 'b c'")])
def test_the_command_of_a_difference_starts_at_the_folder_that_was_analyzed(
    make_run: Any, tmp_path: Path, below: str, expected: str
) -> None:
    make_run("a")
    make_run("b c", weight=0.25)
    text = Page(render_page(analyze_folder(tmp_path / below))).text
    assert f"samebits compare {expected}\n" in text
    for name in expected.replace("'", "").split(" ", 1):
        assert (tmp_path / below / name).is_dir()


def test_a_profile_that_was_not_tested_says_why(make_run: Any, tmp_path: Path) -> None:
    make_run("golden", numerics="portable-f32")
    row = {"factor": "repeat", "changed": "x", "expectation": "same", "against": "stock", "held": None, "parts": []}
    rows = [
        {**row, "profile": "portable-f32", "run": "golden", "verdict": "golden", "reason": "", "golden_digest": "a"},
        {**row, "profile": "stock", "run": "stock", "verdict": "not tested", "reason": "<no> torch",
         "golden_digest": None},
    ]  # fmt: skip
    experiment = {"verdict": "held", "sentence": "x", "findings": [], "command": "samebits study", "rows": rows}
    experiment |= {"culprits": [], "pairs": None, "factors": []}
    html = render_page(analyze_folder(tmp_path / "runs", experiment=experiment))
    assert "&lt;no&gt; torch" in html
    assert html.count("not tested") >= 2
    assert untested_profiles(experiment) == [{"numerics": "stock", "reason": "<no> torch"}]


def test_the_golden_run_stands_first_in_its_matrix(make_run: Any, tmp_path: Path) -> None:
    make_run("a")
    make_run("golden")
    text = Page(render_page(analyze_folder(tmp_path / "runs"))).text
    table = text[text.index("Runs by artifact") :]
    assert table.index("golden golden") < table.index("\na")
