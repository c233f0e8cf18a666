"""Factors by values: what was seen of each, from a study's rows; the same for a terminal and the HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WAITING, RUNNING = "waiting", "running"
NOT_RUN = "not run"
_SAME, _DIFFERENT, _UNDECIDED, _NOT_TESTED = "same", "different", "undecided", "not tested"


@dataclass(frozen=True)
class Cell:
    """One value of a factor.

    Args:
        state: a verdict, `waiting` or `running`.
        is_calm: a difference that was expected.
        n_together: decided runs in which it stood together with others.
    """

    name: str
    label: str
    state: str
    is_calm: bool = False
    n_together: int = 0
    reason: str = ""


@dataclass(frozen=True)
class FactorLine:
    """One factor of one profile with all its values."""

    profile: str
    factor: str
    cells: tuple[Cell, ...]


def matrix_of(
    rows: Sequence[Mapping[str, Any]],
    culprits: Sequence[Mapping[str, Any]] = (),
    factors: Sequence[str] = (),
    *,
    running: str | None = None,
) -> list[FactorLine]:
    """Return a line for each factor of each profile.

    Args:
        rows: of study.json, as the next two.
        culprits: minimised causes of differences.
        factors: in the order that is wanted; those not among them come first, as the rows have them.
        running: the run in progress.
    """
    values: dict[tuple[str, str], dict[str, list[Mapping[str, Any]]]] = {}
    for row in rows:
        for factor, name in row["parts"] or ((row["factor"], row["run"]),):
            values.setdefault((row["profile"], factor), {}).setdefault(name, []).append(row)
    blamed = {tuple(culprit["changes"]) for culprit in culprits}
    lines = [
        FactorLine(
            profile,
            factor,
            tuple(_cell(name, factor, profile, found, blamed, running) for name, found in cells.items()),
        )
        for (profile, factor), cells in values.items()
    ]
    profiles = list(dict.fromkeys(line.profile for line in lines))
    places = {factor: number for number, factor in enumerate(factors, start=1)}
    return sorted(lines, key=lambda line: (profiles.index(line.profile), places.get(line.factor, 0)))


def _cell(
    name: str,
    factor: str,
    profile: str,
    rows: Sequence[Mapping[str, Any]],
    blamed: set[tuple[str, ...]],
    running: str | None,
) -> Cell:
    alone = next((row for row in rows if not row["parts"]), None)
    together = [row for row in rows if row["parts"]]
    n_decided = sum(not _is_waiting(row) for row in together)
    plain = name.removeprefix(f"{profile}-")
    label = plain.removeprefix(f"{factor}-") if plain != factor else plain
    if any(row["run"] == running for row in rows):
        return Cell(name, label, RUNNING, n_together=n_decided)
    if alone is not None and not _is_waiting(alone):
        calm = alone["held"] is True and alone["verdict"] == _DIFFERENT
        return Cell(name, label, alone["verdict"], calm, n_decided, alone["reason"])
    state, reason = _state_together(name, together, blamed)
    return Cell(name, label, state, n_together=n_decided, reason=reason)


def _state_together(name: str, rows: Sequence[Mapping[str, Any]], blamed: set[tuple[str, ...]]) -> tuple[str, str]:
    """Return what runs with several changes say about one of them, and why."""
    decided = [row for row in rows if not _is_waiting(row)]
    if any(name in names for names in blamed):
        return _DIFFERENT, "changes the bits"
    if not decided:
        return WAITING, ""
    if any(row["verdict"] == _SAME and name not in row["unseen"] for row in decided):
        return _SAME, ""
    if all(name in row["unseen"] for row in decided):
        return _NOT_TESTED, "no run shows a trace of it"
    return _UNDECIDED, "every run with it differs or failed"


def _is_waiting(row: Mapping[str, Any]) -> bool:
    return bool(row["verdict"] == _UNDECIDED and row["reason"] == NOT_RUN)
