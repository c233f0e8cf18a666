"""Spot checks of a run of 200 steps: what one costs beside the run, and how often it catches a cheat in one step.

.venv/bin/python tools/check_spots.py [--write] [--tries N]

The cheat: one step's update has another learning rate than the recipe's, and everything after it goes on from there, so
that files, chain, checkpoints and root agree. Exit code 1: a spot check cost a tenth of the run or more, or a try did
not end as the choice of segments says it must.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from fractions import Fraction
from math import comb
from pathlib import Path
from typing import Any
from unittest.mock import patch

from samebits.numerics.optimizer import adamw_scalars
from samebits.recipe.reader import settings_from
from samebits.record.processor import processor_facts
from samebits.record.progress import Silence
from samebits.study.rebuild import Sources, rebuild
from samebits.training import portable
from samebits.verify.verification import Spot, Verification, verify

PAGE = Path(__file__).resolve().parent.parent / "docs" / "verify.md"
START, END = "<!-- table: start -->", "<!-- table: end -->"
N_STEPS, SAVE_STEPS, CHEATED_STEP, PAIRS = 200, 10, 117, 3
BATCHES = (24, 4)
CHOICES = (1, 5, 10)
LIMIT = 0.1


def settings(batch: int) -> dict[str, Any]:
    """Return a recipe of 200 steps on the embedded model and data."""
    return {"max_steps": N_STEPS, "save_steps": SAVE_STEPS, "per_device_train_batch_size": batch, "threads": 1}


def train(out: Path, batch: int, *, cheated_step: int | None = None) -> Path:
    """Train a run here; `cheated_step` is updated with ten times its learning rate, which no line tells."""

    def cheat(*arguments: Any, learning_rate: float, step: int, **others: Any) -> Any:
        factor = 10 if step + 1 == cheated_step else 1
        return adamw_scalars(*arguments, learning_rate=learning_rate * factor, step=step, **others)

    hooked: AbstractContextManager[Any] = nullcontext()
    if cheated_step is not None:
        hooked = patch.object(portable, "adamw_scalars", cheat)
    with hooked:
        portable.train(settings_from(settings(batch), where="here"), out, resume=False, progress=Silence())
    return out


def spot(run: Path, n: int, seed: str) -> Verification:
    """Verify a run in `n` spots, in this process."""
    execution = {"threads": 1}
    return verify(run, lambda recorded: rebuild(recorded.recipe, Sources(), execution), spot=Spot(n, seed))


def command_s(*arguments: str) -> float:
    """Return the processor time of one command line, Python's start included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "samebits", *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(folder: Path, batch: int) -> tuple[float, float, float, float]:
    """Return medians of interleaved pairs: the run's command, the spot's, and both without Python's start."""
    rows = []
    for number in range(PAIRS):
        out = folder / f"cost-{batch}-{number}"
        pairs = [part for key, value in settings(batch).items() for part in ("--set", f"{key}={value}")]
        run_s = command_s("train", *pairs, "--set", f"logging_steps={N_STEPS}", "--out", str(out))
        spot_s = command_s("verify", str(out), "--spot", "1")
        begun = time.process_time()
        train(folder / f"inner-{batch}-{number}", batch)
        trained = time.process_time()
        assert spot(out, 1, f"cost {number}").verdict == "same"
        rows.append((run_s, spot_s, trained - begun, time.process_time() - trained))
    return tuple(statistics.median(column) for column in zip(*rows, strict=True))


def count_caught(run: Path, n: int, tries: int) -> tuple[int, int, Fraction]:
    """Return how often the cheat was caught, how often its segment was drawn, and the stated chance that it is not."""
    caught = drawn = 0
    unseen = Fraction(0)
    for number in range(tries):
        found = spot(run, n, f"try {number}")
        assert found.choice is not None
        caught += found.verdict == "different"
        drawn += any(segment.first <= CHEATED_STEP <= segment.last for segment in found.choice.segments)
        unseen = found.choice.unseen
    return caught, drawn, unseen


def likely(tries: int, chance: float) -> tuple[int, int]:
    """Return between which counts, both included, 99.9 % of such series of tries lie."""
    shares = [comb(tries, k) * chance**k * (1 - chance) ** (tries - k) for k in range(tries + 1)]
    low = next(k for k in range(tries + 1) if sum(shares[: k + 1]) > 0.0005)
    high = next(k for k in range(tries, -1, -1) if sum(shares[k:]) > 0.0005)
    return low, high


def main() -> None:
    """Measure, print the tables, and with --write put them into docs/verify.md."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the tables into docs/verify.md")
    parser.add_argument("--tries", type=int, default=40)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    processor = processor_facts()["name"]
    lines, is_right = [f"Run on {datetime.now(UTC):%Y-%m-%d}: {processor}, one thread.", ""], True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines += [
            "| run | `train`, s | `verify --spot 1`, s | ratio | without Python's start | ratio |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for batch in BATCHES:
            run_s, spot_s, inner_run_s, inner_spot_s = measure(folder, batch)
            ratios = spot_s / run_s, inner_spot_s / inner_run_s
            is_right &= min(ratios) < LIMIT
            lines.append(
                f"| {N_STEPS} steps of {batch} samples | {run_s:.2f} | {spot_s:.2f} | {ratios[0]:.1%} "
                f"| {inner_run_s:.2f} and {inner_spot_s:.2f} | {ratios[1]:.1%} |"
            )
        run = train(folder / "cheated", 4, cheated_step=CHEATED_STEP)
        lines += [
            "",
            f"| drawn of {N_STEPS // SAVE_STEPS} | stated chance unseen | tries | caught | was drawn | 99.9 % catch |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for n in CHOICES:
            caught, drawn, unseen = count_caught(run, n, options.tries)
            low, high = likely(options.tries, float(1 - unseen))
            is_right &= caught == drawn and low <= caught <= high
            lines.append(f"| {n} | {float(unseen):.0%} | {options.tries} | {caught} | {drawn} | {low} to {high} |")
    text = "\n".join(lines)
    print(text)
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        before, after = page.partition(START)[0], page.partition(END)[2]
        PAGE.write_text(f"{before}{START}\n\n{text}\n\n{END}{after}", encoding="utf-8")
    if not is_right:
        raise SystemExit("error: a spot check cost a tenth of its run or more, or did not catch what it drew")


if __name__ == "__main__":
    main()
