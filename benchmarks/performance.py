"""Run every family's benchmark on the best instruction set and on AVX2, and put the table into docs/performance.md.

    python benchmarks/performance.py [--families FAMILY ...] [--threads 1 2] [--pairs 15]

Run `python -m samebits.numerics.build` first. All families take most of an hour on two idle cores; a family's section
is replaced alone. One thread is timed by its own processor time, so that other work on the machine matters less.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pairs import N_PAIRS

from samebits.numerics import library
from samebits.record.processor import processor_facts

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "performance.md"
FAMILIES = tuple(
    sorted(path.stem for path in HERE.glob("*.py") if path.stem not in ("pairs", "performance", "training_step"))
)
# The same instruction set for all three dispatchers of torch as for ours.
HELD_TO_AVX2 = {
    "SAMEBITS_ISA": "avx2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}
START, END = "<!-- table: start -->\n", "<!-- table: end -->"


def main() -> None:
    """Measure and rewrite the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=FAMILIES)
    parser.add_argument("--threads", nargs="+", default=["1", "2"])
    parser.add_argument("--pairs", type=int, default=N_PAIRS)
    arguments = parser.parse_args()
    best = library.runnable_isas()[-1]
    settings = {best: {}} | ({"avx2": HELD_TO_AVX2} if "avx2" in library.runnable_isas() else {})
    for family in arguments.families:
        write_section(family, section(family, settings, arguments.threads, arguments.pairs))


def write_section(family: str, text: str) -> None:
    """Put one family's section into the page, in the order of names; the others stay as they are."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    table, _, after = rest.partition(END)
    found = {part.partition("\n")[0].strip(): f"### {part.rstrip()}\n" for part in table.split("### ")[1:]}
    found[family] = text
    PAGE.write_text(
        before + START + "\n" + "\n".join(found[name] for name in sorted(found)) + END + after, encoding="utf-8"
    )


def place(n_pairs: int) -> str:
    """Return one line that says where and when."""
    name = processor_facts().get("name", "a processor that does not tell its name")
    return f"Measured on {datetime.now(UTC):%Y-%m-%d}: {name}, {os.cpu_count()} cores, {n_pairs} pairs."


def section(family: str, settings: dict[str, dict[str, str]], threads: list[str], n_pairs: int) -> str:
    """Return a family's heading and table; one row per case and number of threads, two columns per instruction set."""
    measured = {isa: rows_of(family, variables, threads, n_pairs) for isa, variables in settings.items()}
    keys = list(dict.fromkeys(key for rows in measured.values() for key in rows))
    titles = ["case", "threads", *(title for isa in measured for title in (f"{isa}: ratio", "of fma peak"))]
    lines = [f"### {family}", "", place(n_pairs), "", row_text(titles), row_text(["---"] * len(titles))]
    for name, n_threads in keys:
        cells = [name, str(n_threads)]
        for rows in measured.values():
            cells += cells_of(rows.get((name, n_threads)))
        lines.append(row_text(cells))
    return "\n".join([*lines, ""])


def rows_of(
    family: str, variables: dict[str, str], threads: list[str], n_pairs: int
) -> dict[tuple[str, int], dict[str, Any]]:
    """Run one benchmark in a child process for each number of threads; return its rows by case and threads."""
    rows = []
    for n_threads in threads:
        clock = ["--cpu-time"] if n_threads == "1" else []
        command = [
            sys.executable,
            str(HERE / f"{family}.py"),
            "--json",
            "--threads",
            n_threads,
            "--pairs",
            str(n_pairs),
            *clock,
        ]
        print(f"{family} {variables.get('SAMEBITS_ISA', '')} {n_threads}", file=sys.stderr, flush=True)
        done = subprocess.run(command, env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True, check=True)
        rows += [json.loads(text) for text in done.stdout.splitlines()[1:]]
    return {(row["name"], row["n_threads"]): row for row in rows}


def cells_of(row: dict[str, Any] | None) -> list[str]:
    """Return a row's ratio with its quartiles, and its part of the peak."""
    if row is None:
        return ["-", "-"]
    low, middle, high = row["ratio_quartiles"]
    return [f"{middle:.2f} ({low:.2f} to {high:.2f})", f"{row['part_of_peak']:.2f}"]


def row_text(cells: list[str]) -> str:
    """Return one row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
