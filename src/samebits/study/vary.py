"""`samebits vary`: one recipe under deliberate variations; a difference is minimised to the factor that makes it.

Each time the same recipe is trained on stock kernels too, until other threads or another instruction set break it:
where nothing can break that, the variations did not vary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from samebits.canonical.atomic import write_atomic
from samebits.canonical.json_bytes import dump_json
from samebits.errors import UsageError
from samebits.recipe.reader import resolve_paths
from samebits.recipe.settings import STOCK, Settings
from samebits.study.factors import NAMES, variations
from samebits.study.minimise import minimise
from samebits.study.pairwise import Factors, cover, pairs_of, uncovered
from samebits.study.rows import Culprit, Experiment, Row
from samebits.study.runner import Runner
from samebits.study.series import Listener, Series
from samebits.study.stock import expected_facts, machine, missing_baseline
from samebits.study.variation import UNCHANGED, Variation, combine, repeats, without

RECIPE_FILE = "recipe.json"
FALSIFIERS = ("threads", "aten")
LEFT_OUT = "left out by --no-stock"

Mode = Literal["once", "pairwise", "all"]


@dataclass(frozen=True)
class Choice:
    """What to vary.

    Args:
        mode: `once` each factor alone, `pairwise` all of them together in a pairwise cover, `all` both, with more
            values.
        only: factors to vary, all where empty; with `once`, every value of them.
        stock: whether stock kernels are trained on too, and must break.
    """

    mode: Mode = "once"
    only: Collection[str] = ()
    stock: bool = True


def run_vary(
    out: Path,
    settings: Settings,
    *,
    runner: Runner,
    listener: Listener,
    choice: Choice,
    require_all: bool = False,
    command: str = "samebits vary",
) -> Experiment:
    """Train a recipe under variations in a new folder.

    Args:
        out: made if it is not there; must be empty.
        settings: the recipe.
        require_all: what was not tested leaves the answer undecided.
        command: what the report says to type to do this again.
    Raises:
        UsageError: an unknown factor, or a folder that is not empty.
        StorageError: the disk refused.
        KeyboardInterrupt: after the children were ended and study.json says what was not run.
    """
    if unknown := sorted(set(choice.only) - set(NAMES)):
        raise UsageError(f"a factor must be one of {', '.join(NAMES)}", got=unknown[0])
    experiment = Experiment(command, require_all, unbroken="undecided", factors=NAMES)
    recipe = out.resolve() / RECIPE_FILE
    vary = _Vary(out, runner, listener, experiment, recipe=recipe, seed=settings.seed)
    write_atomic(recipe, dump_json(recipe_of(settings)))
    try:
        facts = vary.run_recipe(settings.numerics, choice)
        if facts is not None:
            experiment.is_complete = settings.numerics == STOCK or vary.falsify(facts, is_wanted=choice.stock)
    finally:
        vary.close()
    return experiment


def recipe_of(settings: Settings) -> dict[str, Any]:
    """Return settings as a recipe that means the same in every folder: what lies on this machine by its whole path."""
    return resolve_paths(settings.model_dump(mode="json", exclude={"output_dir"}), Path.cwd())


def chosen(made: Mapping[str, Sequence[Variation]], choice: Choice) -> list[Variation]:
    """Return the variations that are run alone; of those that cannot be, all are told where none of a factor can."""
    if choice.mode == "pairwise":
        return [variation for found in made.values() for variation in found if variation.unavailable is not None]
    if choice.mode == "all" or choice.only:
        return [variation for found in made.values() for variation in found]
    return [next(filter(_is_possible, found), found[0]) for found in made.values()]


def covered(made: Mapping[str, Sequence[Variation]]) -> tuple[Factors, list[list[Variation]]]:
    """Return the factors with more than one value, and the changes of each row of a pairwise cover."""
    possible = {factor: {v.name: v for v in found if _is_possible(v)} for factor, found in made.items()}
    factors = {factor: (UNCHANGED, *values) for factor, values in possible.items() if values}
    rows = cover(factors)
    parts = [[possible[factor][name] for factor, name in row.items() if name != UNCHANGED] for row in rows]
    return factors, [found for found in parts if found]


class _Vary(Series):
    """The folder of one `samebits vary`."""

    def run_recipe(self, profile: str, choice: Choice) -> dict[str, Any] | None:
        """Run the golden run, its repeat, and the variations; return the golden facts, or None without such a run."""
        golden, *again = repeats(profile, 2)
        facts = self.run_golden(golden)
        if facts is None:
            return None
        made = variations(profile, facts, self.scratch, full=choice.mode == "all", only=choice.only)
        alone = chosen(made, choice)
        factors, rows = covered(made) if choice.mode != "once" else ({}, [])
        prefix = f"{STOCK}-" if profile == STOCK else ""
        together = [combine(f"{prefix}pairs-{number:02d}", parts) for number, parts in enumerate(rows, start=1)]
        self.plan([*again, *alone, *together])
        found = self.run_all([*again, *alone, *together])
        if factors:
            self.experiment.pairs = _count_pairs(factors, found)
        self._blame(found, {variation.name: variation for variation in (*again, *alone, *together)})
        return facts

    def falsify(self, facts: Mapping[str, Any], *, is_wanted: bool) -> bool:
        """Train on stock kernels until a factor of the machine changes the bits; return whether that was tried."""
        golden, *again = repeats(STOCK, 2)
        reason = missing_baseline() if is_wanted else LEFT_OUT
        if reason is not None:
            self.run_all(without([golden, *_falsifiers(expected_facts(facts))], reason))
            return True
        self.plan([golden, *again, *_falsifiers(expected_facts(facts))])
        stock_facts = self.run_golden(golden)
        if stock_facts is None:
            return False
        self.run_all(again)
        for variation in _falsifiers(stock_facts):
            if self.run_all([variation])[0].verdict == "different":
                break
        return True

    def _blame(self, rows: Sequence[Row], made: Mapping[str, Variation]) -> None:
        """Name what makes each run differ, unless what is named already explains it."""
        blamed: list[tuple[str, ...]] = []
        for row in rows:
            names = tuple(name for _, name in row.parts) or (() if row.factor == UNCHANGED else (row.run,))
            if row.verdict != "different" or any(set(found) <= set(names) for found in blamed):
                continue
            culprit = self._minimised(row, made[row.run])
            self.experiment.culprits.append(culprit)
            if culprit.shown_by is not None:
                blamed.append(culprit.changes)

    def _minimised(self, row: Row, variation: Variation) -> Culprit:
        parts = list(variation.parts)
        if not parts:
            changes = () if row.factor == UNCHANGED else (row.run,)
            return Culprit(row.run, changes, row.run, row.against)
        seen: dict[tuple[str, ...], Row] = {}

        def differs(kept: Sequence[Variation]) -> bool:
            names = tuple(part.name for part in kept)
            if names not in seen:
                seen[names] = self._row_of(kept, f"{row.run}-{len(seen) + 1}")
            return seen[names].verdict == "different"

        kept = minimise(parts, differs)
        names = tuple(part.name for part in kept)
        # Where nothing smaller differed, the whole is tried once more: chance is no factor.
        is_shown = differs(kept)
        return Culprit(row.run, names, seen[names].run if is_shown else None, row.against)

    def _row_of(self, parts: Sequence[Variation], name: str) -> Row:
        """Return the row of some changes: one that was made alone, or a new one."""
        if len(parts) == 1:
            known = [row for row in self.experiment.rows if row.run == parts[0].name]
            return known[0] if known else self.run_all(parts)[0]
        return self.run_all([combine(name, parts)])[0]


def _falsifiers(facts: Mapping[str, Any]) -> list[Variation]:
    makers = machine(facts, full=False)
    return [variation for factor in FALSIFIERS for variation in makers[factor]()]


def _is_possible(variation: Variation) -> bool:
    return variation.unavailable is None


def _count_pairs(factors: Factors, rows: Iterable[Row]) -> tuple[int, int]:
    """Return how many pairs stood together in a run whose record shows both, and how many there are."""
    # The golden run shows every factor unchanged.
    shown = [dict.fromkeys(factors, UNCHANGED)]
    for row in rows:
        changed = dict(row.parts or ((row.factor, row.run),))
        if changed.keys() <= factors.keys() and row.verdict in ("same", "different"):
            # What left no trace was neither this value nor surely the unchanged one.
            shown.append({
                factor: changed.get(factor, UNCHANGED) for factor in factors if changed.get(factor) not in row.unseen
            })  # fmt: skip
    total = len(pairs_of(factors))
    return total - len(uncovered(factors, shown)), total
