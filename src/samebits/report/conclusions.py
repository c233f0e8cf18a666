"""What follows from the numbers, by a table of rules: each reads the report's document and says one sentence or none.

A rule never says more than its condition. `docs/analysis.md` lists them by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from samebits.report.runs import WEIGHTS

Document = Mapping[str, Any]
LOSSES = ("train_loss", "eval_loss")


@dataclass(frozen=True)
class Rule:
    """A name, and a function that gives the sentence where the rule applies and None where it does not."""

    name: str
    sentence: Callable[[Document], str | None]


def conclusions(document: Document) -> list[dict[str, str]]:
    """Return the sentences of the rules that apply, in the table's order."""
    found = [(rule.name, rule.sentence(document)) for rule in RULES]
    return [{"rule": name, "conclusion": sentence} for name, sentence in found if sentence is not None]


def _nothing_compared(document: Document) -> str | None:
    if document["overall_analysis"]["score"]["verdict"] != "not tested":
        return None
    return "Nothing can be said about repeatability: no recipe has two comparable runs."


def _all_same(document: Document) -> str | None:
    score = document["overall_analysis"]["score"]
    if score["verdict"] != "same":
        return None
    return (
        f"All {score['n_total']} runs that have a peer of the same recipe have the same golden files, bit for bit"
        f"{_by_profile(document, 'score')}."
    )


def _some_different(document: Document) -> str | None:
    score = document["overall_analysis"]["score"]
    if score["verdict"] != "different":
        return None
    return (
        f"{score['n_same']} of {score['n_total']} runs have the most common golden files of their recipe; "
        f"{score['n_total'] - score['n_same']} do not{_by_profile(document, 'score')}."
    )


def _equal_losses_hide_weights(document: Document) -> str | None:
    weights_by_losses: dict[tuple[Any, ...], list[str | None]] = {}
    for run in document["runs"]:
        losses = tuple(run["metrics"][metric] for metric in LOSSES)
        if run["state"] == "complete" and losses[0] is not None:
            weights_by_losses.setdefault((run["recipe_sha256"], *losses), []).append(run["weights_sha256"])
    hiding = [(len(weights), len(set(weights))) for weights in weights_by_losses.values() if len(set(weights)) > 1]
    if not hiding:
        return None
    n_runs, n_weights = max(hiding)
    return (
        f"Equal losses prove nothing: {n_runs} runs of one recipe report the same losses to the last bit and have "
        f"{n_weights} different adapters."
    )


def _weights_agree(document: Document) -> str | None:
    scores = document["overall_analysis"]["artifact_scores"]
    others = [name for name, score in scores.items() if name != WEIGHTS and score["verdict"] == "different"]
    if scores.get(WEIGHTS, {}).get("verdict") != "same" or not others:
        return None
    return f"The adapters agree everywhere; the differences are in {', '.join(others)}."


def _environments_agree(document: Document) -> str | None:
    agreement = document["cross_environment_analysis"]["agreement"]
    if agreement["verdict"] != "same":
        return None
    return (
        f"Environments agree: all {agreement['n_total']} pairs of runs from two environments have the same golden "
        f"digest{_by_profile(document, 'agreement')}."
    )


def _environments_differ(document: Document) -> str | None:
    agreement = document["cross_environment_analysis"]["agreement"]
    if agreement["verdict"] != "different":
        return None
    return (
        f"Environments do not fully agree: {agreement['n_same']} of {agreement['n_total']} pairs of runs from two "
        f"environments have the same golden digest{_by_profile(document, 'agreement')}; a damaged run is in "
        f"{document['cross_environment_analysis']['n_pairs_with_damaged_run']} of these pairs."
    )


def _environments_not_tested(document: Document) -> str | None:
    agreement = document["cross_environment_analysis"]["agreement"]
    if agreement["verdict"] != "not tested":
        return None
    return f"Agreement across environments was not tested: {agreement['reason']}."


def _machine_explains(document: Document) -> str | None:
    groups = _machine_groups(document)
    agreeing, unexplained = _agreeing_and_differing(groups)
    # Without two machines' undamaged runs that differ, there is no difference for a machine to explain.
    digests_by_recipe: dict[str, set[str]] = {}
    for (recipe_sha256, *_), runs in groups.items():
        digests_by_recipe.setdefault(recipe_sha256, set()).update(run["golden_digest"] for run in runs)
    if not agreeing or unexplained or all(len(digests) < 2 for digests in digests_by_recipe.values()):
        return None
    return (
        "Every two undamaged runs of one recipe with the same recorded instruction set, thread count and probed "
        "operations have the same bits, and some of those with others do not: these differences go with the machine's "
        "arithmetic."
    )


def _machine_does_not_explain(document: Document) -> str | None:
    _, unexplained = _agreeing_and_differing(_machine_groups(document))
    if not unexplained:
        return None
    return (
        f"{unexplained[0][0]} and {unexplained[0][1]} differ although their recorded instruction set, thread count "
        "and probed operations are the same: the cause is something else."
    )


def _damaged(document: Document) -> str | None:
    names = document["overall_analysis"]["damaged_runs"]
    if not names:
        return None
    return f"Changed after recording, and counted as different: {', '.join(names)}."


def _undecided(document: Document) -> str | None:
    names = document["overall_analysis"]["undecided_runs"]
    if not names:
        return None
    return f"Could not be judged, and counted as nothing: {', '.join(names)}."


def _several_recipes(document: Document) -> str | None:
    n_recipes = document["overall_analysis"]["n_recipes"]
    if n_recipes < 2:
        return None
    return f"There are {n_recipes} recipes; runs of different recipes are not held against each other."


def _without_peer(document: Document) -> str | None:
    alone = [recipe["runs"][0] for recipe in document["recipes"] if len(recipe["runs"]) == 1]
    if not alone:
        return None
    return f"Not tested, for want of a second run of the same recipe: {', '.join(alone)}."


def _losses_of_profiles(document: Document) -> str | None:
    pair = reference_runs(document)
    losses = [run["metrics"]["eval_loss"] for run in pair]
    if len(losses) != 2 or None in losses:
        return None
    names = [run["numerics"] for run in pair]
    return (
        f"Evaluation loss of the golden runs: {losses[0]:.6f} under {names[0]}, {losses[1]:.6f} under {names[1]}, "
        f"{100 * abs(losses[0] - losses[1]) / abs(losses[1]):.3f} % apart."
        if losses[1]
        else None
    )


def reference_runs(document: Document) -> list[Document]:
    """Return the golden run of each profile where two profiles have one recipe each, else none."""
    recipes = document["recipes"]
    if len(recipes) != 2 or len({recipe["numerics"] for recipe in recipes}) != 2:
        return []
    runs = {run["name"]: run for run in document["runs"]}
    found = [runs[recipe["reference_run"]] for recipe in recipes if recipe["reference_run"] is not None]
    return found if len(found) == len(recipes) else []


def _by_profile(document: Document, key: str) -> str:
    """Return a share by profile, where there are several, as the end of a sentence."""
    told = [
        f"{profile['numerics'] or 'unknown'} {profile[key]['n_same']} of {profile[key]['n_total']}"
        for profile in document["profiles"]
        if profile[key]["score"] is not None
    ]
    return f" ({', '.join(told)})" if len(document["profiles"]) > 1 and told else ""


def _machine_groups(document: Document) -> dict[tuple[Any, ...], list[Document]]:
    """Return undamaged runs by their recipe and machine facts, without those that lack a fact."""
    groups: dict[tuple[Any, ...], list[Document]] = {}
    for run in document["runs"]:
        facts = tuple(sorted(run["machine"].items()))
        if run["state"] == "complete" and all(value is not None for _, value in facts):
            groups.setdefault((run["recipe_sha256"], *facts), []).append(run)
    return groups


def _agreeing_and_differing(
    groups: Mapping[tuple[Any, ...], list[Document]],
) -> tuple[list[str], list[tuple[str, str]]]:
    """Return runs that have a peer of equal recipe and machine facts and agree, and pairs that have and do not."""
    agreeing: list[str] = []
    differing: list[tuple[str, str]] = []
    for first, *rest in groups.values():
        other = next((run for run in rest if run["golden_digest"] != first["golden_digest"]), None)
        if other is not None:
            differing.append((first["name"], other["name"]))
        elif rest:
            agreeing.append(first["name"])
    return agreeing, differing


RULES = (
    Rule("nothing-compared", _nothing_compared),
    Rule("all-same", _all_same),
    Rule("some-different", _some_different),
    Rule("equal-losses-hide-weights", _equal_losses_hide_weights),
    Rule("weights-agree", _weights_agree),
    Rule("machine-explains", _machine_explains),
    Rule("machine-does-not-explain", _machine_does_not_explain),
    Rule("environments-agree", _environments_agree),
    Rule("environments-differ", _environments_differ),
    Rule("environments-not-tested", _environments_not_tested),
    Rule("damaged", _damaged),
    Rule("undecided", _undecided),
    Rule("several-recipes", _several_recipes),
    Rule("without-peer", _without_peer),
    Rule("losses-of-profiles", _losses_of_profiles),
)
