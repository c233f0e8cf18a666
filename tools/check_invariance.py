"""Train recipes under a pairwise cover of everything that must not reach the bits, and count their golden digests.

    .venv/bin/python tools/check_invariance.py              every recipe under every row of the cover
    .venv/bin/python tools/check_invariance.py --kills 30   one recipe, killed 30 times at random moments
    ... --write                                             puts the table into docs/invariance.md too

A row whose change did not reach the run (by the run's own record) is no evidence, and leaves the answer undecided.

Exit codes: 0 one digest for each recipe, and another one for another seed; 1 more than one; 2 undecided.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from made_recipes import MadeRecipe, invariance_recipes
from samebits.numerics import library
from samebits.record.processor import processor_facts
from samebits.study.pairwise import Factors, Row, cover, pairs_of, uncovered

PAGE = Path(__file__).resolve().parent.parent / "docs" / "invariance.md"
LIMIT_S = 300
ENDED_EXIT_CODE = 75
TIMED_OUT = 124
KILLED_RECIPE = ("gpt2, 4 layers", 200)

NO_KNOB = "none"
KNOBS = (NO_KNOB, "ATEN_CPU_CAPABILITY=default", "MKL_CBWR=COMPATIBLE", "OMP_NUM_THREADS=1")
FACTORS: Factors = {
    "threads": ("1", "2", "3", "8"),
    "isa": library.runnable_isas(),
    "library knob": KNOBS,
    "batch split": ("4x1", "2x2", "1x4"),
    "killed after step": ("never", "1", "half"),
    "memory_budget_mib": ("2048", "1"),
    "hash seed": ("0", "12345"),
    "locale": ("C", "C.UTF-8"),
}
VARIABLES = ("SAMEBITS_ISA", "PYTHONHASHSEED", "LC_ALL", *(knob.partition("=")[0] for knob in KNOBS[1:]))

# The last step before it has left its checkpoint; this one dies with nothing flushed, as under SIGKILL.
_HOSTED = f"""
import os
from samebits.cli.training_lines import Lines
def on_step(self, step, *numbers):
    if step == {{last_step}} + 1:
        os._exit({ENDED_EXIT_CODE})
Lines.on_step = on_step
from samebits.cli.main import run
raise SystemExit(run())
"""


@dataclass
class Seen:
    """What came of the runs of one recipe; `problems` are the runs that say nothing about the bits, with reasons."""

    recipe: MadeRecipe
    digests: list[str] = field(default_factory=list)
    n_killed: int = 0
    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    control: str | None = None


def main() -> int:
    """Run what was asked for and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, metavar="N", help="kill one recipe N times instead of the cover")
    parser.add_argument("--max-steps", type=int, metavar="N", help="of each recipe; all where left out")
    parser.add_argument("--seed", type=int, default=1, help="of the moments and the order of the kills")
    parser.add_argument("--write", action="store_true", help="put the table into docs/invariance.md")
    asked = parser.parse_args()
    for name in VARIABLES:
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory(prefix="invariance-") as scratch:
        recipes = invariance_recipes(Path(scratch))
        recipes = [_at_most(recipe, asked.max_steps) for recipe in recipes]
        if asked.kills is None:
            section, code, table = "cover", *_check_cover(recipes, Path(scratch))
        else:
            recipe = next(recipe for recipe in recipes if (recipe.name, recipe.n_samples) == KILLED_RECIPE)
            section, code, table = "kills", *_check_kills(recipe, Path(scratch), asked.kills, asked.seed)
    processor = processor_facts()
    where = f"Run on {datetime.now(UTC):%Y-%m-%d}: {processor['name']}, {processor['n_cores_allowed']} cores."
    print(f"\n{where}\n\n{table}")
    if asked.write:
        _write(section, f"{where}\n\n{table}")
    return code


def _at_most(recipe: MadeRecipe, max_steps: int | None) -> MadeRecipe:
    if max_steps is None or recipe.n_steps <= max_steps:
        return recipe
    return replace(recipe, n_steps=max_steps, settings=(*recipe.settings, f"max_steps={max_steps}"))


def _check_cover(recipes: Sequence[MadeRecipe], scratch: Path) -> tuple[int, str]:
    rows = cover(FACTORS)
    found = [_check_recipe(recipe, rows, scratch) for recipe in recipes]
    lines = [
        f"{len(rows)} rows cover the {len(pairs_of(FACTORS))} pairs of "
        + "; ".join(f"{name} ({', '.join(values)})" for name, values in FACTORS.items())
        + ".",
        "",
        "| recipe | samples | steps | runs | killed and resumed | pairs not covered | golden digests | the digest |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for seen in found:
        recipe, digests = seen.recipe, set(seen.digests)
        told = ", ".join(f"`{one}`" for one in sorted(digests))
        cells = (recipe.name, recipe.n_samples, recipe.n_steps, len(seen.digests), seen.n_killed,
                 len(uncovered(FACTORS, seen.rows)), len(digests), told)  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    others = sum(seen.control is not None and seen.control not in seen.digests for seen in found)
    lines += ["", f"Control: with another seed, {others} of {len(found)} recipes have another digest."]
    problems = [f"{seen.recipe.name}: {problem}" for seen in found for problem in seen.problems]
    for problem in problems:
        print(f"undecided: {problem}", file=sys.stderr)
    differs = any(len(set(seen.digests)) > 1 for seen in found)
    return (1 if differs else 2 if problems or others < len(found) else 0), "\n".join(lines) + "\n"


def _check_recipe(recipe: MadeRecipe, rows: Sequence[Row], scratch: Path) -> Seen:
    seen = Seen(recipe)
    for number, row in enumerate(rows):
        # A killed run begins on the threads and the instruction set of the row before.
        before = {**row, **{factor: rows[number - 1][factor] for factor in ("threads", "isa")}}
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            problem = _train_row(seen, row, before, Path(folder) / "run")
        told = seen.digests[-1][:12] if problem is None else f"undecided: {problem}"
        print(f"{recipe.name}, {recipe.n_samples}: {' '.join(row.values())}: {told}", flush=True)
        seen.problems += [problem] if problem else []
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        done = _train(recipe, Path(folder) / "run", settings=("seed=43",))
        if isinstance(done, str):
            seen.problems.append(f"control: {done}")
        else:
            seen.control = done["golden_digest"]
    return seen


def _train_row(seen: Seen, row: Row, before: Row, out: Path) -> str | None:
    """Train under one row and add what it showed; return why it showed nothing."""
    recipe = seen.recipe
    last_step = {"never": 0, "1": 1, "half": recipe.n_steps // 2}[row["killed after step"]]
    if last_step:
        ended = _child(recipe, out, _environment(before), _settings(before), last_step=last_step)
        if ended.returncode != ENDED_EXIT_CODE:
            return f"not killed: {ended.stderr.strip()[-300:]}"
    done = _train(recipe, out, settings=_settings(row), environment=_environment(row), resume=last_step > 0)
    if isinstance(done, str):
        return done
    unseen = _unseen(out, row, last_step)
    if unseen:
        return f"the record does not show {', '.join(unseen)}"
    seen.digests.append(done["golden_digest"])
    seen.rows.append(row)
    seen.n_killed += last_step > 0
    return None


def _settings(row: Row) -> tuple[str, ...]:
    n_samples, n_passes = row["batch split"].split("x")
    return (f"threads={row['threads']}", f"memory_budget_mib={row['memory_budget_mib']}", "save_steps=1",
            f"per_device_train_batch_size={n_samples}", f"gradient_accumulation_steps={n_passes}")  # fmt: skip


def _environment(row: Row) -> dict[str, str]:
    knob = {} if row["library knob"] == NO_KNOB else dict([row["library knob"].split("=")])
    return {**knob, "SAMEBITS_ISA": row["isa"], "PYTHONHASHSEED": row["hash seed"], "LC_ALL": row["locale"]}


def _unseen(out: Path, row: Row, last_step: int) -> list[str]:
    """Return the factors of which the run's own record shows another value than the row's."""
    execution, env, training = (
        json.loads((out / "observed" / f"{name}.json").read_bytes())
        for name in ("execution", "env", "training_metadata")
    )
    shown = {
        "threads": str(execution["n_threads"]) == row["threads"],
        "isa": execution["isa"] == row["isa"],
        "batch split": row["batch split"]
        == f"{execution['per_device_train_batch_size']}x{execution['gradient_accumulation_steps']}",
        "killed after step": training["resumed_from"] == ([last_step] if last_step else []),
        "memory_budget_mib": str(execution["memory_budget_mib"]) == row["memory_budget_mib"],
        "environment": _environment(row).items() <= env["variables"].items(),
    }
    return [factor for factor, is_shown in shown.items() if not is_shown]


def _train(
    recipe: MadeRecipe, out: Path, *, settings: Sequence[str] = (), environment: Mapping[str, str] | None = None,
    resume: bool = False,
) -> dict[str, Any] | str:  # fmt: skip
    """Return what a whole training printed, or why it did not end well."""
    ended = _child(recipe, out, environment or {}, settings, resume=resume)
    if ended.returncode:
        return f"exit code {ended.returncode}: {ended.stderr.strip()[-300:]}"
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


def _child(
    recipe: MadeRecipe, out: Path, environment: Mapping[str, str], settings: Sequence[str], *, last_step: int = 0,
    resume: bool = False,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    command = _command(recipe, out, settings, last_step=last_step, resume=resume)
    try:
        return subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, TIMED_OUT, "", f"it did not end within {LIMIT_S} s")


def _command(
    recipe: MadeRecipe, out: Path, settings: Sequence[str], *, last_step: int = 0, resume: bool = False
) -> list[str]:
    entry = ["-c", _HOSTED.format(last_step=last_step)] if last_step else ["-m", "samebits"]
    pairs = [part for pair in ("numerics=portable-f32", *recipe.settings, *settings) for part in ("--set", pair)]
    return [sys.executable, *entry, "train", "--out", str(out), "--json", *["--resume"] * resume, *pairs]


def _check_kills(recipe: MadeRecipe, scratch: Path, n_kills: int, seed: int) -> tuple[int, str]:
    """Kill a training again and again, each time on other threads and another instruction set, until it has ended.

    The moment is drawn from nought to the time of a whole undisturbed training. A run that ends before its moment is
    whole, and the next one begins, until there were enough kills.
    """
    draw = random.Random(seed)  # noqa: S311 (moments, not secrets)
    started_s = time.monotonic()
    undisturbed = _train(recipe, scratch / "undisturbed")
    whole_s = time.monotonic() - started_s
    if isinstance(undisturbed, str):
        return 2, f"undecided: {undisturbed}\n"
    digests, n_killed, resumed_from, used = [undisturbed["golden_digest"]], 0, [], set()
    machine = ("", "")
    while n_killed < n_kills:
        out, is_whole, told = scratch / f"killed-{len(digests)}", False, ""
        while not is_whole:
            others = [(n, isa) for n in FACTORS["threads"] for isa in FACTORS["isa"]
                      if n != machine[0] and (isa != machine[1] or len(FACTORS["isa"]) == 1)]  # fmt: skip
            machine = draw.choice(others)
            moment_s = draw.uniform(0, whole_s) if n_killed < n_kills else LIMIT_S
            exit_code, told = _until(recipe, out, machine, moment_s)
            is_whole = exit_code == 0
            if exit_code not in (0, -9):
                return 2, f"undecided: exit code {exit_code}: {told[-300:]}\n"
            n_killed += not is_whole
            used.add(machine)
            print(f"run {len(digests)}: {' '.join(machine)}: "
                  + ("whole" if is_whole else f"kill {n_killed} after {moment_s:.2f} s"), flush=True)  # fmt: skip
        training = json.loads((out / "observed" / "training_metadata.json").read_bytes())
        resumed_from += training["resumed_from"]
        digests.append(json.loads(told)["golden_digest"])
    table = _kills_table(recipe, n_killed, digests, resumed_from, len(used))
    return (0 if len(set(digests)) == 1 else 1), table


def _until(recipe: MadeRecipe, out: Path, machine: tuple[str, str], moment_s: float) -> tuple[int, str]:
    """Go on with a run until its end or its moment; return the exit code (-9: killed) and what it printed."""
    settings = (f"threads={machine[0]}", "save_steps=1")
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(
            _command(recipe, out, settings, resume=True), env={**os.environ, "SAMEBITS_ISA": machine[1]},
            stdout=told, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            process.wait(moment_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            process.kill()
            process.wait()
        told.seek(0)
        return process.returncode, told.read()


def _kills_table(
    recipe: MadeRecipe, n_killed: int, digests: Sequence[str], resumed_from: Sequence[int], n_machines: int
) -> str:
    found = ", ".join(f"`{one}`" for one in sorted(set(digests)))
    steps = ", ".join(str(step) for step in sorted(resumed_from))
    return (
        "| recipe | samples | steps | `kill -9` | runs, each killed and resumed until whole | threads and instruction "
        "sets used | golden digests | the digest |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
        f"| {recipe.name} | {recipe.n_samples} | {recipe.n_steps} | {n_killed} | {len(digests) - 1} | {n_machines} "
        f"| {len(set(digests))} | {found} |\n\n"
        "The digest of an undisturbed run is among those counted. "
        f"{len(resumed_from)} kills came after their process had written a checkpoint; it was gone on from after the "
        f"steps {steps}. The others came before that, or when all was written.\n"
    )


def _write(section: str, text: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    start, end = f"<!-- {section}: start -->\n", f"<!-- {section}: end -->"
    head, rest = page.split(start)
    PAGE.write_text(f"{head}{start}\n{text}\n{end}{rest.partition(end)[2]}", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception:  # noqa: BLE001 (Python's own exit code for a crash is 1, which would read as "different")
        traceback.print_exc()
        sys.exit(2)
