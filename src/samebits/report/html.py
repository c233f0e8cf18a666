"""One offline HTML page from the report's document: verdict first, then what it rests on.

Jinja2 (`samebits[report]`) is imported when a page is made. Every text is escaped; the only markup taken as it is are
the drawings that `plots` made from numbers.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from samebits.errors import MissingExtraError
from samebits.report.conclusions import reference_runs
from samebits.report.matrix import RUNNING, WAITING, FactorLine, matrix_of
from samebits.report.plots import N_CURVE_STYLES, dash_of, draw_loss_differences, draw_losses
from samebits.report.scores import SCORE_PLACES

Document = Mapping[str, Any]

SHOWN_DIGITS = 12
N_DIGEST_COLOURS = 8
NOT_TESTED = "not tested"
MARKS = {"same": "✓", "different": "≠", "undecided": "?", NOT_TESTED: "-", "missing": "∅", "golden": "★"}
MATRIX_MARKS = {**MARKS, WAITING: "·", RUNNING: "▸"}
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
    environment.filters.update(
        short=short_digest, percent=percent, number=number_text, mark=MARKS.__getitem__, quote=shlex.quote
    )
    plots = [_plots(recipe, document, number) for number, recipe in enumerate(document["recipes"])]
    return environment.get_template("report.html.j2").render(
        report=document,
        overall=document["overall_analysis"],
        cross=document["cross_environment_analysis"],
        experiment=document["experiment"],
        verdict=verdict_of(document),
        headline=headline_of(document),
        profiles=document["profiles"],
        runs_folder="" if document["runs_folder"] == "." else f"{document['runs_folder']}/",
        untested=untested_profiles(document["experiment"]),
        titles={recipe["recipe_sha256"]: title_of(recipe, document) for recipe in document["recipes"]},
        row_groups=_row_groups(document["experiment"]),
        factor_lines=_factor_lines(document["experiment"]),
        matrix_marks=MATRIX_MARKS,
        both=_both_profiles(document),
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


def headline_of(document: Document) -> str:
    """Return the words for the verdict; they do not speak for a profile that a study could not run."""
    verdict = verdict_of(document)
    if verdict == "held" and untested_profiles(document["experiment"]):
        return "Every tested expectation held"
    return HEADLINES[verdict]


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
    runs.sort(key=lambda run: run["name"] != recipe["reference_run"])
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
    title = title_of(recipe, document)
    return {"recipe": recipe, "title": title, "artifacts": artifacts, "rows": rows, "scores": recipe["artifact_scores"]}


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


def title_of(recipe: Document, document: Document) -> str:
    """Return what tells a recipe from the others of a report: its profile, and its digest where that is not enough."""
    numerics = recipe["numerics"] or "unknown profile"
    alike = [other for other in document["recipes"] if other["numerics"] == recipe["numerics"]]
    return str(numerics) if len(alike) == 1 else f"{numerics}, recipe {short_digest(recipe['recipe_sha256'])}"


def untested_profiles(experiment: Document | None) -> list[dict[str, str]]:
    """Return the profiles of which a study made no run, each with the reason."""
    rows = experiment["rows"] if experiment else []
    made = {row["profile"] for row in rows if row["golden_digest"]}
    missing = {
        row["profile"]: row["reason"]
        for row in reversed(rows)
        if row["verdict"] == NOT_TESTED and row["profile"] not in made
    }
    return [{"numerics": profile, "reason": reason} for profile, reason in missing.items()]


def _row_groups(experiment: Document | None) -> list[dict[str, Any]]:
    rows = experiment["rows"] if experiment else []
    profiles = dict.fromkeys(row["profile"] for row in rows)
    return [{"profile": profile, "rows": [row for row in rows if row["profile"] == profile]} for profile in profiles]


def _factor_lines(experiment: Document | None) -> list[FactorLine]:
    return matrix_of(experiment["rows"], experiment["culprits"], experiment["factors"]) if experiment else []


def _both_profiles(document: Document) -> dict[str, Any] | None:
    """Return the golden runs of two profiles beside each other: curves, differences, losses; None without two."""
    runs = reference_runs(document)
    curves = [curve for run in runs for curve in document["loss_curves"] if run["name"] in curve["runs"]]
    if len(runs) != 2 or len(curves) != 2:
        return None
    names = [run["numerics"] for run in runs]
    return {
        "runs": runs,
        "legend": _legend([{**curve, "runs": [name]} for curve, name in zip(curves, names, strict=True)]),
        "losses": draw_losses(curves, prefix="both"),
        "differences": draw_loss_differences(curves, prefix="apart", y_label=f"{names[1]} - {names[0]}"),
    }


def _legend(curves: Sequence[Document]) -> list[dict[str, Any]]:
    return [
        {
            "runs": curve["runs"],
            "style": index % N_CURVE_STYLES,
            "dash": " ".join(map(str, dash_of(index))),
            "width": 4 if index == 0 else 1.6,
            "n_steps": len(curve["losses_hex"]),
        }
        for index, curve in enumerate(curves)
    ]


def _plots(recipe: Document, document: Document, number: int) -> dict[str, Any]:
    """Return drawings and legend of one recipe's loss curves, the golden curve first; no curves, no drawings."""
    found = [curve for curve in document["loss_curves"] if curve["recipe_sha256"] == recipe["recipe_sha256"]]
    found.sort(key=lambda curve: recipe["reference_run"] not in curve["runs"])
    return {
        "recipe": recipe,
        "title": title_of(recipe, document),
        "curves": _legend(found),
        "losses": draw_losses(found, prefix=f"loss{number}") if found else "",
        "differences": draw_loss_differences(found, prefix=f"difference{number}") if len(found) > 1 else "",
    }
