"""Run every family's benchmark on the best instruction set and on AVX2, and put the table into docs/performance.md.

    python benchmarks/performance.py [--families FAMILY ...] [--threads 1 2] [--isas ISA ...] [--pairs 15]

Run `python -m samebits.numerics.build` first. All families take half an hour on two idle cores; what is not measured
this time stays on the page. One thread is timed by its own processor time, so that other work on the machine matters
less.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
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
    parser.add_argument("--isas", nargs="+", help="of the best and avx2; default: both")
    parser.add_argument("--pairs", type=int, default=N_PAIRS)
    arguments = parser.parse_args()
    best = library.runnable_isas()[-1]
    settings: dict[str, dict[str, str]] = {best: {}} | (
        {"avx2": HELD_TO_AVX2} if "avx2" in library.runnable_isas() else {}
    )
    for family in arguments.families:
        table = Table.on_page(family)
        for isa in arguments.isas or settings:
            for n_threads in arguments.threads:
                table.take_in(isa, rows_of(family, settings[isa], n_threads, arguments.pairs))
                write_section(family, table.section(arguments.pairs))


@dataclass
class Table:
    """A family's rows: for each case and number of threads two cells for each instruction set."""

    family: str
    isas: list[str]
    cells: dict[tuple[str, int], dict[str, list[str]]]

    @classmethod
    def on_page(cls, family: str) -> Table:
        """Return what the page has."""
        table = cls(family, [], {})
        lines = [line[2:-2].split(" | ") for line in sections().get(family, "").splitlines() if line.startswith("| ")]
        if lines:
            table.isas = [title.removesuffix(": ratio") for title in lines[0][2::2]]
        for name, n_threads, *cells in lines[2:]:
            pairs = zip(cells[::2], cells[1::2], strict=True)
            table.cells[name, int(n_threads)] = {
                isa: list(pair) for isa, pair in zip(table.isas, pairs, strict=True) if pair != ("-", "-")
            }
        return table

    def take_in(self, isa: str, rows: dict[tuple[str, int], dict[str, Any]]) -> None:
        """Put what was measured in the place of what was there."""
        if isa not in self.isas:
            self.isas.append(isa)
        for key, row in rows.items():
            self.cells.setdefault(key, {})[isa] = cells_of(row)

    def section(self, n_pairs: int) -> str:
        """Return heading and table, rows by number of threads."""
        titles = ["case", "threads", *(title for isa in self.isas for title in (f"{isa}: ratio", "of fma peak"))]
        lines = [f"### {self.family}", "", place(n_pairs), "", row_text(titles), row_text(["---"] * len(titles))]
        for name, n_threads in sorted(self.cells, key=lambda key: key[1]):
            row = self.cells[name, n_threads]
            lines.append(
                row_text([name, str(n_threads), *(cell for isa in self.isas for cell in row.get(isa, ["-", "-"]))])
            )
        return "\n".join([*lines, ""])


def sections() -> dict[str, str]:
    """Return the page's sections by family."""
    table = PAGE.read_text(encoding="utf-8").partition(START)[2].partition(END)[0]
    return {part.partition("\n")[0].strip(): f"### {part.rstrip()}\n" for part in table.split("### ")[1:]}


def write_section(family: str, text: str) -> None:
    """Put one family's section into the page, in the order of names; the others stay as they are."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    found = sections() | {family: text}
    PAGE.write_text(
        before + START + "\n" + "\n".join(found[name] for name in sorted(found)) + END + after, encoding="utf-8"
    )


def place(n_pairs: int) -> str:
    """Return one line that says where and when."""
    name = processor_facts().get("name", "a processor that does not tell its name")
    return f"Measured last on {datetime.now(UTC):%Y-%m-%d}: {name}, {os.cpu_count()} cores, {n_pairs} pairs."


def rows_of(
    family: str, variables: dict[str, str], n_threads: str, n_pairs: int
) -> dict[tuple[str, int], dict[str, Any]]:
    """Run one benchmark in a child process; return its rows by case and threads."""
    command = [sys.executable, str(HERE / f"{family}.py"), "--json", "--threads", n_threads, "--pairs", str(n_pairs)]
    if n_threads == "1":
        command.append("--cpu-time")
    print(f"{family} {variables.get('SAMEBITS_ISA', '')} {n_threads}", file=sys.stderr, flush=True)
    done = subprocess.run(command, env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True, check=True)
    rows = [json.loads(text) for text in done.stdout.splitlines()[1:]]
    return {(row["name"], row["n_threads"]): row for row in rows}


def cells_of(row: dict[str, Any]) -> list[str]:
    """Return a row's ratio with its quartiles, and its part of the peak."""
    low, middle, high = row["ratio_quartiles"]
    return [f"{middle:.2f} ({low:.2f} to {high:.2f})", f"{row['part_of_peak']:.2f}"]


def row_text(cells: list[str]) -> str:
    """Return one row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
