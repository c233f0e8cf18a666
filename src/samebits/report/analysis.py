"""Run folders become one document of counts, scores, variances and conclusions.

The rules, each stated again in docs/analysis.md:

- Runs are held against each other only within one recipe: the digest of golden/recipe.json that the run recorded.
- A score is the share of comparable runs whose file equals the most common one of its recipe, rounded towards zero.
- A run whose files are not those of its own summary is comparable and agrees with none.
- An undecided run is counted and named, and enters no score.
- Two environments agree by the share of pairs, one run from each, that have the same golden digest.
- What was compared with nothing is `null` beside a reason, and never a success.

The document depends on nothing but the folders: no clock, no absolute path, no order of listing.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from samebits.recipe.settings import STOCK
from samebits.report.conclusions import conclusions
from samebits.report.divergence import first_divergence
from samebits.report.environments import compare_environments, machine_facts
from samebits.report.runs import METRICS, UNKNOWN_ENVIRONMENT, WEIGHTS, Run, find_runs, read_run
from samebits.report.scores import TOO_FEW_RUNS, Share, most_common, share_of_most_common, total, variance

REPORT_VERSION = 1
EXIT_CODES = {"same": 0, "different": 1, "undecided": 2}
NATIVE_ENVIRONMENT = "native"
CONTAINER_ENVIRONMENTS = ("container", "docker")
ONE_ENVIRONMENT = "no recipe has comparable runs of two named environments"


def analyze_folder(folder: Path, *, experiment: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Analyze every run folder under `folder`.

    Raises:
        RecordError: `folder` cannot be listed.
    """
    return analyze(find_runs(folder), folder=folder, experiment=experiment)


def analyze(
    paths: Sequence[Path], *, folder: Path | None = None, experiment: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Analyze run folders.

    Args:
        paths: run folders, in any order; each is named by its path below the deepest folder that holds them all.
        folder: that which was searched; the document says where in it the names begin.
        experiment: what a study planned and saw, taken into the document as it is.
    Returns:
        The document of reproducibility_analysis_report.json.
    """
    base, names = _names(paths)
    runs = sorted((read_run(path, name) for path, name in names), key=lambda run: run.name)
    recipes = [_recipe_section(sha256, group) for sha256, group in _by_recipe(runs)]
    document: dict[str, Any] = {
        "report_version": REPORT_VERSION,
        "runs_folder": _as_text(Path(os.path.relpath(base, folder.resolve())).as_posix()) if folder and base else ".",
        "overall_analysis": _overall(runs, recipes),
        "cross_environment_analysis": _cross_environment(runs),
        "profiles": _profiles(runs, recipes),
        "recipes": recipes,
        "runs": [_run_section(run, recipes) for run in runs],
        "loss_curves": [curve for _, group in _by_recipe(runs) for curve in _loss_curves(group)],
        "first_divergences": [found for _, group in _by_recipe(runs) for found in _divergences(group)],
        "environments": compare_environments(runs),
        "experiment": None if experiment is None else dict(experiment),
    }
    return {**document, "research_conclusions": conclusions(document)}


def _names(paths: Sequence[Path]) -> tuple[str, list[tuple[Path, str]]]:
    """Return the deepest folder that holds all runs, and each run with its path below that folder."""
    resolved = sorted({path.resolve() for path in paths})
    base = os.path.commonpath([path.parent for path in resolved]) if resolved else ""
    return base, [(path, _as_text(path.relative_to(base).as_posix())) for path in resolved]


def _as_text(name: str) -> str:
    """Return a folder's name with what is no text escaped, so that it can be written; no two names become one."""
    return name.replace("\\", "\\\\").encode("utf-8", "backslashreplace").decode()


def _by_recipe(runs: Iterable[Run]) -> list[tuple[str, list[Run]]]:
    """Return runs by their recipe: stock ones last, those with more runs first."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.is_comparable and run.recipe_sha256 is not None:
            groups.setdefault(run.recipe_sha256, []).append(run)
    return sorted(groups.items(), key=lambda item: (item[1][0].numerics == STOCK, -len(item[1]), item[0]))


def _golden_digests(group: Iterable[Run]) -> dict[str, str | None]:
    """Return each run's golden digest; None for a damaged run, which agrees with none."""
    return {run.name: run.golden_digest if run.state == "complete" else None for run in group}


def _reference(group: Sequence[Run]) -> Run | None:
    """Return the run that the others of its recipe are held against.

    It has the most common golden digest; of such runs, one whose folder's name starts with `golden` goes first, then
    the order of names decides.
    """
    digests = _golden_digests(group)
    golden = most_common(digests)
    candidates = [run for run in group if golden is not None and digests[run.name] == golden]
    return min(candidates, key=lambda run: (not run.path.name.startswith("golden"), run.name), default=None)


def _recipe_section(sha256: str, group: Sequence[Run]) -> dict[str, Any]:
    reference = _reference(group)
    return {
        "recipe_sha256": sha256,
        "numerics": group[0].numerics,
        "runs": [run.name for run in group],
        "golden_digest": reference.golden_digest if reference else None,
        "reference_run": reference.name if reference else None,
        "n_distinct_golden_digests": len({run.golden_digest for run in group}),
        "score": share_of_most_common(_golden_digests(group)).document(),
        "artifact_scores": {name: share.document() for name, share in _artifact_shares(group).items()},
        "metrics_reproducibility": {metric: _metric_section(metric, group) for metric in METRICS},
    }


def _profiles(runs: Sequence[Run], recipes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what the runs of each numerics profile have in common, in the order of their recipes."""
    sections = []
    for numerics in dict.fromkeys(recipe["numerics"] for recipe in recipes):
        own = [run for run in runs if run.is_comparable and run.numerics == numerics]
        shares = [share_of_most_common(_golden_digests(group)) for _, group in _by_recipe(own)]
        sections.append(
            {
                "numerics": numerics,
                "n_runs": len(own),
                "n_recipes": len(shares),
                "n_distinct_golden_digests": len({run.golden_digest for run in own}),
                "score": total(shares, TOO_FEW_RUNS).document(),
                "agreement": _cross_environment(own)["agreement"],
            }
        )
    return sections


def _artifact_shares(group: Sequence[Run]) -> dict[str, Share]:
    names = sorted({name for run in group for name in run.artifacts})
    return {name: share_of_most_common({run.name: run.artifacts.get(name) for run in group}) for name in names}


def _metric_section(metric: str, group: Sequence[Run]) -> dict[str, Any]:
    values = [value for run in group if (value := run.metrics.get(metric)) is not None]
    spread = variance(values)
    reason = None
    if len(values) < 2:
        reason = f"{len(values)} of {len(group)} runs have this metric" if len(group) > 1 else TOO_FEW_RUNS
    elif spread is None:
        reason = "the variance is beyond binary64"
    return {
        "n_runs": len(values),
        "n_distinct": len(set(values)),
        "variance": spread,
        "minimum": min(values, default=None),
        "maximum": max(values, default=None),
        "minimum_hex": min(values).hex() if values else None,
        "maximum_hex": max(values).hex() if values else None,
        "reason": reason,
    }


def _overall(runs: Sequence[Run], recipes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    groups = [group for _, group in _by_recipe(runs)]
    score = total([share_of_most_common(_golden_digests(group)) for group in groups], TOO_FEW_RUNS)
    per_environment = Counter(run.environment for run in runs)
    names = sorted({name for run in runs for name in run.artifacts})
    shares = [_artifact_shares(group) for group in groups]
    return {
        "total_runs": len(runs),
        "native_runs": per_environment[NATIVE_ENVIRONMENT],
        "docker_runs": sum(per_environment[name] for name in CONTAINER_ENVIRONMENTS),
        "runs_per_environment": dict(sorted(per_environment.items())),
        "comparable_runs": sum(run.is_comparable for run in runs),
        "damaged_runs": [run.name for run in runs if run.state == "damaged"],
        "undecided_runs": [run.name for run in runs if not run.is_comparable],
        "n_recipes": len(groups),
        "verdict": _verdict(runs, score),
        "reproducibility_score": score.value,
        "score": score.document(),
        "artifact_scores": {
            name: total([share[name] for share in shares if name in share], TOO_FEW_RUNS).document() for name in names
        },
        "metrics_reproducibility": {metric: _widest_metric(metric, recipes) for metric in METRICS},
    }


def _verdict(runs: Sequence[Run], score: Share) -> str:
    """Return `different` if anything is, `same` only if every run was compared or has no peer, else `undecided`."""
    if score.verdict == "different" or any(run.state == "damaged" for run in runs):
        return "different"
    return "undecided" if not score.is_tested or not all(run.is_comparable for run in runs) else "same"


def _widest_metric(metric: str, recipes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the section of the recipe in which the metric varies most, for variances of recipes do not add up."""
    sections = [(recipe["metrics_reproducibility"][metric], recipe["recipe_sha256"]) for recipe in recipes]
    tested = [(section, sha256) for section, sha256 in sections if section["variance"] is not None]
    if not tested:
        return {"variance": None, "n_runs": 0, "n_distinct": 0, "recipe_sha256": None, "reason": TOO_FEW_RUNS}
    section, sha256 = max(tested, key=lambda item: item[0]["variance"])
    return {**section, "recipe_sha256": sha256}


def _cross_environment(runs: Sequence[Run]) -> dict[str, Any]:
    pairs = []
    for sha256, group in _by_recipe(runs):
        by_environment: dict[str, list[Run]] = {}
        for run in group:
            if run.environment != UNKNOWN_ENVIRONMENT:
                by_environment.setdefault(run.environment, []).append(run)
        for ours, theirs in itertools.combinations(sorted(by_environment), 2):
            pairs.append((sha256, ours, theirs, by_environment[ours], by_environment[theirs]))
    shares = [_pair_share(ours, theirs, None) for _, _, _, ours, theirs in pairs]
    agreement = total(shares, ONE_ENVIRONMENT)
    return {
        "environments": sorted({run.environment for run in runs}),
        "cross_environment_agreement": agreement.value,
        "agreement": agreement.document(),
        "n_pairs_with_damaged_run": sum(_n_pairs_with_damaged_run(ours, theirs) for _, _, _, ours, theirs in pairs),
        "pairs": [
            {
                "recipe_sha256": sha256,
                "numerics": ours[0].numerics,
                "environments": [first, second],
                "n_runs": [len(ours), len(theirs)],
                "agreement": _pair_share(ours, theirs, None).document(),
                "artifacts": {
                    name: _pair_share(ours, theirs, name).document()
                    for name in sorted({name for run in (*ours, *theirs) for name in run.artifacts})
                },
            }
            for sha256, first, second, ours, theirs in pairs
        ],
    }


def _pair_share(ours: Sequence[Run], theirs: Sequence[Run], artifact: str | None) -> Share:
    """Return the share of pairs, one run from each side, that agree in a file, or in the whole golden set."""
    n_same = 0
    for first, second in itertools.product(ours, theirs):
        if artifact is not None:
            digest = first.artifacts.get(artifact)
            n_same += digest is not None and digest == second.artifacts.get(artifact)
        else:
            both_complete = first.state == second.state == "complete"
            n_same += both_complete and first.golden_digest == second.golden_digest
    return Share(n_same, len(ours) * len(theirs))


def _n_pairs_with_damaged_run(ours: Sequence[Run], theirs: Sequence[Run]) -> int:
    return sum("damaged" in (first.state, second.state) for first, second in itertools.product(ours, theirs))


def _run_section(run: Run, recipes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    golden = {recipe["recipe_sha256"]: recipe for recipe in recipes}.get(run.recipe_sha256 or "")
    verdict = "undecided"
    if run.state == "damaged":
        verdict = "different"
    elif golden is not None and len(golden["runs"]) == 1:
        verdict = "not tested"
    elif golden is not None and run.name == golden["reference_run"]:
        # Also where no other run agrees with it: then it is what they differ from, and no success.
        verdict = "golden"
    elif golden is not None:
        verdict = "same" if run.golden_digest == golden["golden_digest"] else "different"
    return {
        "name": run.name,
        "numerics": run.numerics,
        "environment": run.environment,
        "state": run.state,
        "verdict": verdict,
        "reasons": list(run.reasons),
        "recipe_sha256": run.recipe_sha256,
        "golden_digest": run.golden_digest,
        "weights_sha256": run.artifacts.get(WEIGHTS),
        "artifacts": dict(run.artifacts),
        "metrics": {metric: run.metrics.get(metric) for metric in METRICS},
        "machine": machine_facts(run),
    }


def _loss_curves(group: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the distinct loss curves of a recipe as hex floats, each with the runs that have it."""
    runs_by_curve: dict[tuple[str, ...], list[str]] = {}
    for run in group:
        if run.trace:
            runs_by_curve.setdefault(tuple(record["loss"] for record in run.trace), []).append(run.name)
    return [
        {"recipe_sha256": group[0].recipe_sha256, "runs": names, "losses_hex": list(curve)}
        for curve, names in sorted(runs_by_curve.items(), key=lambda item: item[1])
    ]


def _divergences(group: Sequence[Run]) -> list[dict[str, Any]]:
    """Return one divergence per golden digest that is not the reference's, named by the runs that have it."""
    reference = _reference(group)
    if reference is None:
        return []
    others: dict[str | None, list[Run]] = {}
    for run in group:
        if run.golden_digest != reference.golden_digest:
            others.setdefault(run.golden_digest, []).append(run)
    return [{**first_divergence(reference, alike[0]), "runs": [run.name for run in alike]} for alike in others.values()]
