"""The report as Markdown, for a terminal, a repository or a CI's summary page: a short form of the same document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from samebits.report.conclusions import reference_runs
from samebits.report.html import headline_of, number_text, percent, short_digest
from samebits.report.runs import METRICS


def render_summary(document: Mapping[str, Any]) -> str:
    """Return FINAL_RESULTS_SUMMARY.md."""
    experiment = document["experiment"]
    lines = [f"# {headline_of(document)}", ""]
    if experiment:
        lines += [_text(experiment["sentence"]), ""]
        lines += [f"- {_text(finding)}" for finding in experiment["findings"]]
    lines += [f"- {_text(entry['conclusion'])}" for entry in document["research_conclusions"]]
    lines += _figures(document)
    lines += _losses(reference_runs(document))
    for recipe in document["recipes"]:
        lines += _recipe(recipe)
    lines += _runs(document["runs"])
    if experiment:
        lines += _changes(experiment["rows"])
    return "\n".join(lines) + "\n"


def _figures(document: Mapping[str, Any]) -> list[str]:
    overall, cross = document["overall_analysis"], document["cross_environment_analysis"]
    environments = ", ".join(f"{count} {_text(name)}" for name, count in overall["runs_per_environment"].items())
    by_profile = [
        (f"golden digests of {profile['numerics'] or 'unknown profile'}", _digests(profile))
        for profile in document["profiles"]
    ]
    figures = [
        ("runs", f"{overall['total_runs']} ({environments})" if environments else "0"),
        ("comparable", overall["comparable_runs"]),
        ("undecided", len(overall["undecided_runs"])),
        *by_profile,
        ("golden set score", _score(overall["score"])),
        ("cross-environment agreement", _score(cross["agreement"])),
    ]
    return ["", "## Figures", "", *_table(("figure", "value"), figures)]


def _losses(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    if not runs:
        return []
    rows = [(run["numerics"] or "unknown", *(number_text(run["metrics"][name]) for name in METRICS)) for run in runs]
    return ["", "## Losses of both profiles", "", *_table(("profile", *METRICS), rows)]


def _recipe(recipe: Mapping[str, Any]) -> list[str]:
    scores = [(name, _score(score)) for name, score in recipe["artifact_scores"].items()]
    metrics = [_metric_row(name, entry) for name, entry in recipe["metrics_reproducibility"].items()]
    return [
        *("", f"## Recipe {short_digest(recipe['recipe_sha256'])}", ""),
        *(f"Numerics profile: {_text(recipe['numerics'] or 'unknown')}", ""),
        *(f"Golden digest: `{recipe['golden_digest'] or 'none'}`", ""),
        *_table(("artifact", "score"), scores),
        "",
        *_table(("metric", "variance", "distinct values"), metrics),
    ]


def _runs(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        (
            run["name"],
            run["numerics"] or "unknown",
            run["environment"],
            run["verdict"],
            short_digest(run["golden_digest"]),
            _first(run["reasons"]),
        )
        for run in runs
    ]
    head = ("run", "profile", "environment", "verdict", "golden digest", "remark")
    return ["", "## Runs", "", *_table(head, rows)]


def _changes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    cells = [
        (row["run"], row["profile"], row["changed"], row["expectation"], row["verdict"], _held(row["held"]))
        for row in rows
    ]
    head = ("run", "profile", "changed", "expected", "seen", "held")
    return ["", "## One change at a time", "", *_table(head, cells)]


def _digests(profile: Mapping[str, Any]) -> str:
    return f"{profile['n_distinct_golden_digests']} in {profile['n_runs']} run{'s' if profile['n_runs'] != 1 else ''}"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return lines + [f"| {' | '.join(_text(cell) for cell in row)} |" for row in rows]


def _text(value: Any) -> str:
    """Return a cell in which no name of a stranger's folder can start markup or end the cell."""
    text = " ".join(str(value).split())
    for character in "\\|<>`*[]":
        text = text.replace(character, f"\\{character}")
    return text


def _score(score: Mapping[str, Any]) -> str:
    if score["score"] is None:
        return f"not tested: {score['reason']}"
    return f"{percent(score)} ({score['n_same']} of {score['n_total']})"


def _metric_row(name: str, entry: Mapping[str, Any]) -> tuple[Any, ...]:
    variance = entry["variance"]
    return name, f"not tested: {entry['reason']}" if variance is None else repr(variance), entry["n_distinct"]


def _held(held: bool | None) -> str:
    return {True: "yes", False: "no", None: "-"}[held]


def _first(reasons: Sequence[str]) -> str:
    return reasons[0] if reasons else ""
