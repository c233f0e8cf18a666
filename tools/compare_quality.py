"""Hold the evaluation loss of portable adapters against that of stock ones, over the same seeds.

    .venv/bin/python tools/compare_quality.py           the table
    .venv/bin/python tools/compare_quality.py --write   and put it into docs/quality.md

The samples, those held out and their order are one for all seeds (`data_seed`): what is left to differ is the adapter's
initialisation and the dropout, which the two profiles draw from different generators. As a control the portable side is
trained with half the learning rate too: an instrument that cannot tell that from the recipe shows nothing.

Exit codes: 0 portable's mean lies within stock's spread on every recipe, and the control's does not; 1 it does not;
2 a run did not end, or the control was not told apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from made_recipes import MadeRecipe, write_texts
from samebits.record.processor import processor_facts

PAGE = Path(__file__).resolve().parent.parent / "docs" / "quality.md"
START, END = "<!-- table: start -->\n", "<!-- table: end -->"
SEEDS = (1, 2, 3, 4, 5)
DATA_SEED = 42
LIMIT_S = 300
RATES = {"embedded": 2e-4, "200 texts": 2e-3}


@dataclass(frozen=True)
class Losses:
    """Evaluation losses of one recipe, one for each seed; `untrained` is the base's own."""

    recipe: MadeRecipe
    portable: tuple[float, ...]
    stock: tuple[float, ...]
    control: tuple[float, ...]
    untrained: float

    def is_within(self, losses: Sequence[float]) -> bool:
        """Return whether the mean lies between stock's least and greatest loss."""
        return min(self.stock) <= statistics.fmean(losses) <= max(self.stock)


def main() -> int:
    """Train every recipe and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/quality.md")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quality-") as scratch:
        try:
            found = [_measure(recipe, Path(scratch)) for recipe in _recipes(Path(scratch))]
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            print(f"undecided: {error}\n{error.stderr!r}", file=sys.stderr)
            return 2
    processor = processor_facts()
    where = f"Run on {datetime.now(UTC):%Y-%m-%d}: {processor['name']}, {processor['n_cores_allowed']} cores."
    text = f"{where}\n\n" + "\n\n".join(map(_table, found))
    print(f"\n{text}")
    if asked.write:
        page = PAGE.read_text(encoding="utf-8")
        head, rest = page.split(START)
        PAGE.write_text(f"{head}{START}\n{text}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8", newline="\n")
    if not all(losses.is_within(losses.portable) for losses in found):
        return 1
    return 2 if any(losses.is_within(losses.control) for losses in found) else 0


def _recipes(folder: Path) -> list[MadeRecipe]:
    texts = write_texts(folder / "texts.jsonl")
    return [
        MadeRecipe("embedded", 28, 6),
        MadeRecipe("200 texts", 200, 45, (f"dataset_name={texts}", "val_size=20")),
    ]


def _measure(recipe: MadeRecipe, scratch: Path) -> Losses:
    rate = RATES[recipe.name]
    return Losses(
        recipe,
        portable=_losses(recipe, scratch, "portable-f32", rate),
        stock=_losses(recipe, scratch, "stock", rate),
        control=_losses(recipe, scratch, "portable-f32", rate / 2),
        # An adapter begins as nought: after one step of no length the base is what is evaluated.
        untrained=_eval_loss(recipe, scratch, ("numerics=portable-f32", "max_steps=1", "learning_rate=1e-30")),
    )


def _losses(recipe: MadeRecipe, scratch: Path, numerics: str, learning_rate: float) -> tuple[float, ...]:
    found = []
    for seed in SEEDS:
        settings = (f"numerics={numerics}", f"learning_rate={learning_rate}", f"seed={seed}")
        found.append(_eval_loss(recipe, scratch, settings))
        print(f"{recipe.name}: {' '.join(settings)}: {found[-1]:.6f}", flush=True)
    return tuple(found)


def _eval_loss(recipe: MadeRecipe, scratch: Path, settings: Sequence[str]) -> float:
    pairs = (*recipe.settings, f"data_seed={DATA_SEED}", "threads=1", *settings)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        command = [sys.executable, "-m", "samebits", "train", "--json", "--out", str(Path(folder) / "run")]
        command += [part for pair in pairs for part in ("--set", pair)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    loss: float = json.loads(ended.stdout)["results"]["eval_loss"]
    return loss


def _told(losses: Losses, rate: float) -> str:
    recipe = losses.recipe
    told = f"{recipe.n_samples} samples, {recipe.n_steps} steps, learning rate {rate:g}"
    return f"{told}; the base's own loss: {losses.untrained:.6f}."


def _table(losses: Losses) -> str:
    recipe, rate = losses.recipe, RATES[losses.recipe.name]
    rows = [
        f"### {recipe.name}",
        "",
        _told(losses, rate),
        "",
        "| profile | mean | least | greatest | standard deviation | mean within stock's spread |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, found in (
        ("stock", losses.stock),
        ("portable-f32", losses.portable),
        (f"control: portable-f32, learning rate {rate / 2:g}", losses.control),
    ):
        numbers = (statistics.fmean(found), min(found), max(found), statistics.stdev(found))
        within = "" if name == "stock" else "yes" if losses.is_within(found) else "no"
        rows.append(f"| {name} | {' | '.join(f'{number:.6f}' for number in numbers)} | {within} |")
    return "\n".join(rows)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception:  # noqa: BLE001 (Python's own exit code for a crash is 1, which would read as "worse")
        traceback.print_exc()
        sys.exit(2)
