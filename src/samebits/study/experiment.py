"""The whole experiment: for each numerics profile a golden run, its repeats, and one change at a time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samebits.errors import UsageError
from samebits.images.container import Container
from samebits.recipe.settings import PORTABLE_F32, STOCK
from samebits.study.containers import container_variation
from samebits.study.plan import FACTORS, has_baseline, portable_variations, stock_variations
from samebits.study.rows import Experiment
from samebits.study.runner import Runner
from samebits.study.series import Listener, Series
from samebits.study.stock import expected_facts, missing_baseline
from samebits.study.variation import PAIRS, Variation, repeats, without

DEFAULT_RUNS = 5
N_STOCK_RUNS = 2


@dataclass(frozen=True)
class Choice:
    """What a study is to vary: see `plan`."""

    full: bool = False
    only: Collection[str] = ()
    container: Container | str | None = None

    def containers(self, profile: str) -> list[Variation]:
        """Return the run of a profile in a container; none where none was asked for."""
        return [] if self.container is None else [container_variation(profile, self.container)]


def run_study(
    out: Path,
    *,
    runner: Runner,
    listener: Listener,
    n_runs: int = DEFAULT_RUNS,
    full: bool = False,
    require_all: bool = False,
    only: Collection[str] = (),
    container: Container | str | None = None,
    command: str = "samebits study",
) -> Experiment:
    """Run a study in a new folder: the portable profile first, then stock, which must be seen to break.

    Args:
        out: made if it is not there; must be empty.
        n_runs: portable runs with nothing changed, the golden run among them.
        full: more values of each factor, and several changes at once.
        require_all: a variation that changed nothing here makes the study undecided.
        only: factors to vary; all where empty.
        container: an image to run the recipe in, or why there is none; no such run where left out.
        command: what the report says to type to do this again.
    Raises:
        UsageError: too few runs, an unknown factor, or a folder that is not empty.
        StorageError: the disk refused.
        KeyboardInterrupt: after the children were ended and study.json says what was not run.
    """
    _check_arguments(n_runs, only, full=full)
    experiment = Experiment(command, require_all)
    study = _Study(out, runner, listener, experiment)
    choice = Choice(full, only, container)
    try:
        facts = study.run_portable(n_runs, choice)
        if facts is not None:
            experiment.is_complete = not has_baseline(full=full, only=only) or study.run_stock(facts, choice)
    finally:
        study.close()
    return experiment


class _Study(Series):
    """The two sides of a study."""

    def run_portable(self, n_runs: int, choice: Choice) -> dict[str, Any] | None:
        """Run the portable side; return the golden run's facts, or None where it cannot serve as one."""
        golden, *again = repeats(PORTABLE_F32, n_runs)
        facts = self.run_golden(golden)
        if facts is None:
            return None
        table = [*again, *portable_variations(facts, self.scratch, full=choice.full, only=choice.only)]
        table += choice.containers(PORTABLE_F32)
        self.plan([*table, *self._stock_table(expected_facts(facts), choice)])
        self.run_all(table)
        return facts

    def run_stock(self, portable_facts: Mapping[str, Any], choice: Choice) -> bool:
        """Run the stock side, or say why not; return whether all of it was done."""
        golden, *again = repeats(STOCK, N_STOCK_RUNS)
        if (reason := missing_baseline()) is not None:
            table = [golden, *again, *self._stock_variations(expected_facts(portable_facts), choice)]
            self.run_all(without(table, reason))
            return True
        facts = self.run_golden(golden)
        if facts is None:
            return False
        table = [*again, *self._stock_variations(facts, choice)]
        self.plan(table)
        self.run_all(table)
        return True

    def _stock_table(self, facts: Mapping[str, Any], choice: Choice) -> list[Variation]:
        if not has_baseline(full=choice.full, only=choice.only) or missing_baseline() is not None:
            return []
        return [*repeats(STOCK, N_STOCK_RUNS), *self._stock_variations(facts, choice)]

    def _stock_variations(self, facts: Mapping[str, Any], choice: Choice) -> list[Variation]:
        table = stock_variations(facts, self.scratch, full=choice.full, only=choice.only)
        return table + choice.containers(STOCK)


def _check_arguments(n_runs: int, only: Collection[str], *, full: bool) -> None:
    if n_runs < 2:
        raise UsageError("a study must have two unchanged runs or more", got=str(n_runs))
    if unknown := sorted(set(only) - set(FACTORS)):
        raise UsageError(f"a factor must be one of {', '.join(FACTORS)}", got=unknown[0])
    if PAIRS in only and not full:
        raise UsageError("pairs belong to a full study", got=f"--only {PAIRS}", remedy="add --full")
