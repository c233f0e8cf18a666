"""Compare the golden digests of run folders from many machines and write the matrix.

    .venv/bin/python tools/compare_matrix.py CELLS [--expect NAME ...] [--golden DIGEST] [--markdown FILE]
                                             [--summary FILE]

CELLS is a folder with one folder for each cell: the run itself, or `run` in it, or `cell.json` with the reason why
there is none. Every digest is computed anew from the golden files and held against DIGEST (default: README's); nothing
is taken from what a run says of itself but the columns that describe its machine. A cell of --expect that did not come
is a row too. Exit code: 0 every cell that ran has the digest; 1 one has another; 2 one failed or did not come, or none
ran.
The last job of .github/workflows/reproduce.yml and `make matrix` print this table. See docs/automation.md.
"""

from __future__ import annotations

import argparse
import html
import json
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SAME, DIFFERENT, UNDECIDED = 0, 1, 2
COLUMNS = ("cell", "system", "processor", "Python", "NumPy", "kernels", "golden digest", "result")
# A run may be a stranger's: what it says of itself gets this much room.
LONGEST_FACT = 60
LONGEST_REASON = 300


@dataclass(frozen=True)
class MatrixCell:
    """One place where the recipe was to be trained.

    Args:
        digest: of the golden files as they are now; empty where there are none.
        files: the SHA-256 of each golden file.
        facts: system, processor, Python, NumPy and kernels, as the run recorded them.
        not_tested: why it could not run.
        failed: what went wrong where it could.
        changed: golden files that are not what the run's own summary says.
    """

    name: str
    digest: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    facts: tuple[str, ...] = ("-",) * 5
    not_tested: str = ""
    failed: str = ""
    changed: tuple[str, ...] = ()

    def verdict(self, golden: str) -> str:
        """Return `same`, `different`, `not tested` or `failed`."""
        if self.not_tested or self.failed:
            return "not tested" if self.not_tested else "failed"
        return "same" if self.digest == golden and not self.changed else "different"


def golden_digest(readme: str) -> str:
    """Return the digest that README promises.

    Raises:
        SystemExit: there is none, or more than one.
    """
    found = re.findall(r"^ {4}([0-9a-f]{64})$", readme, flags=re.MULTILINE)
    if len(found) != 1:
        raise SystemExit(f"error: README.md must hold one golden digest, got {len(found)}")
    return str(found[0])


def exit_code_of(verdicts: Sequence[str]) -> int:
    """Return 1 if one digest is another, else 2 if a cell failed or none ran, else 0."""
    if "different" in verdicts:
        return DIFFERENT
    return UNDECIDED if "failed" in verdicts or "same" not in verdicts else SAME


def read_cells(folder: Path, expected: Sequence[str] = ()) -> list[MatrixCell]:
    """Read every cell below a folder, in the order of their names, and add those that did not come."""
    found = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    cells = [_read_cell(path) for path in found]
    missing = [name for name in expected if name not in {path.name for path in found}]
    return cells + [MatrixCell(name, failed="no run folder came") for name in missing]


def _read_cell(folder: Path) -> MatrixCell:
    told = _object(folder / "cell.json")
    name = str(told.get("name", folder.name))
    if told.get("not_tested") or told.get("failed"):
        return MatrixCell(name, not_tested=str(told.get("not_tested", "")), failed=str(told.get("failed", "")))
    return _read_run(name, folder / "run" if (folder / "run").is_dir() else folder)


def _read_run(name: str, path: Path) -> MatrixCell:
    sys.path.insert(0, str(ROOT / "src"))
    try:
        from samebits.errors import SamebitsError
        from samebits.record.layout import RunFolder
        from samebits.record.manifest import check_summary, golden_checksums
        from samebits.record.manifest import golden_digest as digest_of
    finally:
        sys.path.remove(str(ROOT / "src"))
    run = RunFolder(path)
    try:
        changed = tuple(check_summary(run))
        checksums = golden_checksums(run)
    except SamebitsError as error:
        return MatrixCell(name, failed=error.must + (f", got {error.got}" if error.got else ""))
    files = {file: entry["sha256"] for file, entry in checksums.items()}
    facts = _facts(_object(run.observed / "env.json"), _object(run.observed / "execution.json"))
    return MatrixCell(name, digest_of(checksums), files, facts, changed=changed)


def _object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, or an empty one: what describes a machine decides nothing."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _facts(environment: Mapping[str, Any], execution: Mapping[str, Any]) -> tuple[str, ...]:
    def fact(*keys: str, of: Any = environment) -> str:
        for key in keys:
            of = of.get(key) if isinstance(of, dict) else None
        return of if isinstance(of, str) else ""

    system = fact("system", "distribution") or fact("system", "name")
    processor = " ".join(word for word in (fact("cpu", "architecture"), fact("cpu", "name")) if word)
    numpy = fact("libraries", "numpy", of=execution)
    return tuple(
        text[:LONGEST_FACT] or "-"
        for text in (system, processor, fact("python", "version"), numpy, fact("isa", of=execution))
    )


def remark(cell: MatrixCell, golden: str, like: Mapping[str, str]) -> str:
    """Return what a reader must know of a cell beside its verdict.

    Args:
        like: the golden files of a cell that has the digest; empty where none has.
    """
    if cell.not_tested or cell.failed:
        return (cell.not_tested or cell.failed)[:LONGEST_REASON]
    if cell.changed:
        return "; ".join(cell.changed)[:LONGEST_REASON]
    if cell.digest == golden or not like:
        return ""
    other = sorted(file for file in like.keys() | cell.files.keys() if like.get(file) != cell.files.get(file))
    return f"other bytes in {', '.join(other)}"[:LONGEST_REASON]


def matrix(cells: Sequence[MatrixCell], golden: str) -> str:
    """Return the Markdown: the verdict, a row for each cell, and how many cells have which digest."""
    verdicts = [cell.verdict(golden) for cell in cells]
    like = next((cell.files for cell in cells if cell.verdict(golden) == "same"), {})
    ran = [verdict for verdict in verdicts if verdict in ("same", "different")]
    said = ("Same", "Different", "Undecided")[exit_code_of(verdicts)]
    counts = f"{len(ran)} of {len(cells)} cells ran, {verdicts.count('same')} of them"
    lines = [
        f"**{said}**: {counts} with the golden digest `{golden}`.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"| {' | '.join('---' for _ in COLUMNS)} |",
    ]
    for cell, verdict in zip(cells, verdicts, strict=True):
        told = remark(cell, golden, like)
        result = f"{verdict}: {told}" if told else verdict
        lines.append(f"| {' | '.join(map(_escaped, (cell.name, *cell.facts, cell.digest[:12] or '-', result)))} |")
    counted = Counter(cell.digest for cell in cells if cell.digest)
    if len(counted) > 1:
        lines += ["", *(f"- `{digest}`: {n} cells" for digest, n in counted.most_common())]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Return text that is nothing but text in a cell of a Markdown table."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    return re.sub(r"([\\`*\[\]|~])", r"\\\1", html.escape(plain, quote=False))


def report(folder: Path, golden: str, expected: Sequence[str] = ()) -> tuple[str, int]:
    """Return the matrix of the cells below a folder, and its exit code."""
    cells = read_cells(folder, expected)
    return matrix(cells, golden), exit_code_of([cell.verdict(golden) for cell in cells])


def main(arguments: Sequence[str]) -> int:
    """Print the matrix, and write it where it was asked for."""
    parser = argparse.ArgumentParser(description="Compare the golden digests of run folders and write the matrix.")
    parser.add_argument("cells", type=Path, metavar="CELLS", help="a folder with one folder for each cell")
    parser.add_argument("--expect", nargs="+", default=[], metavar="NAME", help="cells that must be there")
    parser.add_argument("--golden", metavar="DIGEST", help="64 hex digits; default: README's golden digest")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the matrix there, too")
    parser.add_argument("--summary", type=Path, metavar="FILE", help="append the matrix there, too: a job's summary")
    options = parser.parse_args(arguments)
    golden = options.golden or golden_digest((ROOT / "README.md").read_text(encoding="utf-8"))
    if not re.fullmatch(r"[0-9a-f]{64}", golden):
        print(f"error: --golden must be 64 hex digits, got {golden!r}", file=sys.stderr)
        return UNDECIDED
    text, code = report(options.cells, golden, options.expect)
    print(text, end="")
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    if options.summary:
        with options.summary.open("a", encoding="utf-8") as stream:
            stream.write(f"## Golden digests\n\n{text}")
    return code


if __name__ == "__main__":
    # A console of another encoding must not decide an exit code.
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    sys.exit(main(sys.argv[1:]))
