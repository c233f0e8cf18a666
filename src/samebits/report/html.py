"""One offline HTML page from the report's document: verdict first, then what it rests on.

Jinja2 (`samebits[report]`) is imported when a page is made. Every text is escaped; the only markup taken as it is are
the drawings that `plots` made from numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from samebits.errors import MissingExtraError
from samebits.report.plots import N_CURVE_STYLES, dash_of, draw_loss_differences, draw_losses
from samebits.report.scores import SCORE_PLACES

Document = Mapping[str, Any]

SHOWN_DIGITS = 12
N_DIGEST_COLOURS = 8
NOT_TESTED = "not tested"
MARKS = {"same": "✓", "different": "≠", "undecided": "?", NOT_TESTED: "-", "missing": "∅", "golden": "★"}
HEADLINES = {
    "same": "Same bits",
    "different": "Different bits",
    "undecided": "Undecided",
    "held": "Every expectation held",
    "broken": "An expectation did not hold",
}


def render_page(document: Document) -> str:
    """Return the page for a report.

    Raises:
        MissingExtraError: Jinja2 or matplotlib is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtraError(
            "the HTML report needs Jinja2", got=str(error), remedy="run `pip install 'samebits[report]'`"
        ) from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("samebits.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(short=short_digest, percent=percent, number=number_text, mark=MARKS.__getitem__)
    plots = [_plots(recipe, document, number) for number, recipe in enumerate(document["recipes"])]
    return environment.get_template("report.html.j2").render(
        report=document,
        overall=document["overall_analysis"],
        cross=document["cross_environment_analysis"],
        experiment=document["experiment"],
        verdict=verdict_of(document),
        headline=HEADLINES[verdict_of(document)],
        matrices=[_matrix(recipe, document) for recipe in document["recipes"]],
        plots=[plot for plot in plots if plot["curves"]],
        undecided=[run for run in document["runs"] if run["verdict"] == "undecided"],
        noted=[run for run in document["runs"] if run["verdict"] != "undecided" and run["reasons"]],
        n_digest_colours=N_DIGEST_COLOURS,
    )


def verdict_of(document: Document) -> str:
    """Return the verdict that stands first: the study's where there is one, else that of the bits."""
    experiment = document["experiment"]
    return str(experiment["verdict"] if experiment else document["overall_analysis"]["verdict"])


def short_digest(digest: str | None) -> str:
    """Return the first digits of a digest, for a table."""
    return digest[:SHOWN_DIGITS] if digest else "none"


def percent(score: Document) -> str:
    """Return a score document as a percentage, rounded towards zero, or `not tested`."""
    if score["score"] is None:
        return NOT_TESTED
    places = SCORE_PLACES - 2
    scaled = Fraction(score["n_same"] * 100 * 10**places, score["n_total"])
    whole, rest = divmod(scaled.numerator // scaled.denominator, 10**places)
    return f"{whole} %" if rest == 0 else f"{whole}.{rest:0{places}d} %"


def number_text(value: float | None) -> str:
    """Return a number as the shortest text that reads back as the same float."""
    return NOT_TESTED if value is None else repr(value)


def _matrix(recipe: Document, document: Document) -> dict[str, Any]:
    """Return runs by artifacts: each distinct digest of an artifact gets a letter, A where it is the most common."""
    runs = [run for run in document["runs"] if run["name"] in recipe["runs"]]
    artifacts = sorted(recipe["artifact_scores"])
    columns = []
    for name in artifacts:
        digests = [run["artifacts"].get(name) for run in runs]
        columns.append(_letters(digests, _reference_digest(recipe, runs, name)))
    rows = []
    for index, run in enumerate(runs):
        cells = []
        for name, letters in zip(artifacts, columns, strict=True):
            digest = run["artifacts"].get(name)
            verdict = "missing" if digest is None else "same" if letters[digest] == 0 else "different"
            if len(runs) == 1:
                verdict = NOT_TESTED
            letter = letters.get(digest) if digest is not None else None
            cells.append({"verdict": verdict, "digest": digest, "letter": letter, "label": _letter_text(letter)})
        rows.append({"run": run, "cells": cells, "is_reference": runs[index]["name"] == recipe["reference_run"]})
    return {"recipe": recipe, "artifacts": artifacts, "rows": rows, "scores": recipe["artifact_scores"]}


def _reference_digest(recipe: Document, runs: Sequence[Document], artifact: str) -> str | None:
    return next((run["artifacts"].get(artifact) for run in runs if run["name"] == recipe["reference_run"]), None)


def _letters(digests: Sequence[str | None], reference: str | None) -> dict[str, int]:
    """Number the distinct digests, the reference's first, then in the order of the runs."""
    order = [reference] if reference is not None else []
    order += [digest for digest in dict.fromkeys(digests) if digest is not None and digest != reference]
    return {digest: number for number, digest in enumerate(order)}


def _letter_text(number: int | None) -> str:
    if number is None:
        return ""
    return chr(ord("A") + number) if number < 26 else f"#{number + 1}"


def _plots(recipe: Document, document: Document, number: int) -> dict[str, Any]:
    """Return drawings and legend of one recipe's loss curves, the golden curve first; no curves, no drawings."""
    found = [curve for curve in document["loss_curves"] if curve["recipe_sha256"] == recipe["recipe_sha256"]]
    found.sort(key=lambda curve: recipe["reference_run"] not in curve["runs"])
    legend = [
        {
            "runs": curve["runs"],
            "style": index % N_CURVE_STYLES,
            "dash": " ".join(map(str, dash_of(index))),
            "width": 4 if index == 0 else 1.6,
            "n_steps": len(curve["losses_hex"]),
        }
        for index, curve in enumerate(found)
    ]
    return {
        "recipe": recipe,
        "curves": legend,
        "losses": draw_losses(found, prefix=f"loss{number}") if found else "",
        "differences": draw_loss_differences(found, prefix=f"difference{number}") if len(found) > 1 else "",
    }
