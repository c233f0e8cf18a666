"""Make README's golden digest again in every way that this machine offers, and print which came out the same.

    .venv/bin/python tools/reproduce_golden.py [--only WORD ...] [--markdown FILE] [--keep DIR]

Cells: each Python from 3.11 on in a fresh environment by `pip install .` (which must bring no torch), each instruction
set, another folder, another user, a container, and other processors under emulation. A cell that cannot run here is
named with its reason. --keep (`make matrix`) keeps the run folders and prints the table of
tools/compare_matrix.py. Exit code: 0 every cell that ran has the digest; 1 one has another; 2 one failed, or none ran.
Standard library only; the cells of other processors need the checkout's .venv for its compiler. See docs/machines.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tools")]

from compare_matrix import DIFFERENT, exit_code_of, golden_digest, report  # noqa: E402
from debian_roots import CONTAINER, FOREIGN, NotHereError, debian_root, run  # noqa: E402
from samebits.errors import ImageError  # noqa: E402
from samebits.images.container import find_engine, run_words  # noqa: E402
from samebits.numerics import build  # noqa: E402

TRAIN = ("-m", "samebits", "train", "--out")
# Accounts that own nothing, in the order in which they are tried.
STRANGERS = ("nobody", "daemon")


@dataclass(frozen=True)
class Cell:
    """One place where the digest was to be made again.

    Args:
        name, command: what it is, and how a reader runs it.
        digest: the last line of `samebits train`; empty where there is none.
        seconds: the training with its start-up.
        not_tested: why this machine cannot run it.
        failed: what went wrong where it could.
        note: what else was seen.
    """

    name: str
    command: str
    digest: str = ""
    seconds: float = 0.0
    not_tested: str = ""
    failed: str = ""
    note: str = ""

    def verdict(self, golden: str) -> str:
        """Return `same`, `different`, `not tested` or `failed`."""
        if self.not_tested:
            return "not tested"
        if self.failed:
            return "failed"
        return "same" if self.digest == golden else "different"


@dataclass(frozen=True)
class Environment:
    """A fresh virtual environment that holds samebits and what it needs, and nothing else."""

    python: Path
    version: str
    note: str


def exit_code(cells: Sequence[Cell], golden: str) -> int:
    """Return 1 if one digest is another, else 2 if a cell failed or none ran, else 0."""
    return exit_code_of([cell.verdict(golden) for cell in cells])


def row(cell: Cell, golden: str) -> tuple[str, str, str, str, str]:
    """Return a cell's name, verdict, seconds, digest and remark."""
    seconds = f"{cell.seconds:.1f}" if cell.digest else "-"
    return (
        cell.name,
        cell.verdict(golden),
        seconds,
        cell.digest[:12] or "-",
        cell.not_tested or cell.failed or cell.note,
    )


def markdown(cells: Sequence[Cell], golden: str, day: str) -> str:
    """Return the table of docs/machines.md: a row for each cell, with its command and the day."""
    lines = ["| cell | command | date | seconds | digest | result |", "| --- | --- | --- | --- | --- | --- |"]
    for cell in cells:
        name, verdict, seconds, digest, remark = row(cell, golden)
        result = f"{verdict}: {remark}" if remark else verdict
        # Of a cell that did not run only the reason is known.
        command = "-" if cell.not_tested else f"`{cell.command}`"
        lines.append(f"| {name} | {command} | {day} | {seconds} | {digest} | {result} |".replace("\n", " "))
    return "\n".join(lines) + "\n"


def train(words: Sequence[object], **options: Any) -> tuple[str, float]:
    """Run a training and return the digest that it prints last, and its seconds.

    Raises:
        RuntimeError: it failed, or printed no digest.
    """
    start = time.monotonic()
    printed = run(words, **options)
    lines = printed.split()
    if not lines or not re.fullmatch(r"[0-9a-f]{64}", lines[-1]):
        raise RuntimeError("the training printed no digest")
    return lines[-1], time.monotonic() - start


def _clean_environment(**more: str) -> dict[str, str]:
    """Return this environment without what would lead Python or samebits elsewhere."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SAMEBITS_", "VIRTUAL"))
    }
    return kept | more


def find_pythons() -> dict[str, Path]:
    """Return every Python from 3.11 on in PATH and in pyenv's and uv's folders, one for each version."""
    home = Path.home()
    folders: list[str | Path] = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin"]
    folders += Path(os.environ.get("PYENV_ROOT", home / ".pyenv")).glob("versions/*/bin")
    folders += home.glob(".local/share/uv/python/*/bin")
    found: dict[str, Path] = {}
    for path in (Path(folder) / f"python3.{minor}" for folder in folders for minor in range(11, 20)):
        # A pyenv shim answers for whichever version is switched on.
        if path.is_file() and path.parent.name != "shims" and not (path.parent.parent / "pyvenv.cfg").exists():
            try:
                version = run([path, "-c", "import platform; print(platform.python_version())"]).strip()
            except RuntimeError:
                continue
            found.setdefault(version, path)
    return dict(sorted(found.items(), key=lambda item: [int(part) for part in re.findall(r"\d+", item[0])]))


def install(base: Path, folder: Path) -> Environment:
    """Make a fresh environment of a Python and `pip install .` into it.

    Raises:
        RuntimeError: pip refused, or torch came along.
    """
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    # Debian's Python may lack ensurepip: the pip of this Python then installs from outside.
    bundled = not subprocess.run([base, "-c", "import ensurepip"], capture_output=True, check=False).returncode
    run([base, "-m", "venv", *([] if bundled else ["--without-pip"]), folder], env=_clean_environment())
    pip = [python, "-m", "pip"] if bundled else [sys.executable, "-m", "pip", "--python", python]
    start = time.monotonic()
    run([*pip, "install", "--quiet", "--disable-pip-version-check", ROOT], env=_clean_environment())
    seconds = time.monotonic() - start
    asked = "import importlib.util as u, platform; print(platform.python_version(), u.find_spec('torch') is None)"
    version, without_torch = run([python, "-c", asked], env=_clean_environment()).split()
    if without_torch != "True":
        raise RuntimeError("`pip install .` brought torch")
    size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    note = f"no torch; installed in {seconds:.0f} s, {size / 1e6:.0f} MB"
    return Environment(python, version, note)


class Machine:
    """Runs the cells, in a temporary folder that every account can read."""

    def __init__(self, folder: Path, golden: str, only: Sequence[str], keep: Path | None = None) -> None:
        self.folder = folder
        self.golden = golden
        self.only = only
        self.keep = keep
        self.cells: list[Cell] = []
        self.environments: list[Environment] = []
        self._count = 0
        self._run: Path | None = None

    def out(self, parent: Path | None = None) -> Path:
        """Return a new name for a run's folder, in another folder where that is named; the cell's run is this one."""
        self._count += 1
        self._run = (parent or self.folder) / f"run-{self._count}"
        return self._run

    def cell(
        self, name: str, command: str, work: Callable[[], tuple[str, float, str]], *, root: str | None = None
    ) -> None:
        """Run one cell (unless another was asked for), keep it and print its row.

        Args:
            root: below which folder of this machine the run lies as `run-1`; default: it is the last `out()`.
        """
        if self.only and not any(word in name for word in self.only):
            return
        self._run = self.folder / root / "run-1" if root else None
        try:
            digest, seconds, note = work()
            made = Cell(name, command, digest, seconds, note=note)
        except NotHereError as error:
            made = Cell(name, command, not_tested=str(error))
        except (RuntimeError, OSError) as error:
            made = Cell(name, command, failed=str(error))
        self.cells.append(made)
        if self.keep is not None:
            self._keep(made, self.keep / f"{len(self.cells):02}-{re.sub(r'[^a-z0-9.]+', '-', name.lower())}")
        name, verdict, seconds_text, digest, remark = row(made, self.golden)
        print(f"{name:30} {verdict:10} {seconds_text:>6}  {digest:12}  {remark}", flush=True)

    def _keep(self, made: Cell, folder: Path) -> None:
        """Keep a cell as tools/compare_matrix.py reads it."""
        folder.mkdir(parents=True)
        told = {"name": made.name, "command": made.command, "not_tested": made.not_tested, "failed": made.failed}
        (folder / "cell.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        if made.digest and self._run is not None:
            shutil.copytree(self._run, folder / "run")

    def environment(self) -> Environment:
        """Return the first environment that was made, or make one of this Python."""
        if not self.environments:
            self.environments.append(install(Path(sys.executable), self.folder / "environment"))
        return self.environments[0]

    def pythons(self) -> None:
        """Every Python that is found, in an environment of its own."""
        for version, base in find_pythons().items():
            name = f"python{version.rpartition('.')[0]}"
            self.cell(
                f"Python {version}",
                f"{name} -m venv E; E/bin/python -m pip install .; E/bin/python -m samebits train --out DIR",
                lambda base=base, version=version: self._python(base, version),  # type: ignore[misc]
            )

    def _python(self, base: Path, version: str) -> tuple[str, float, str]:
        made = install(base, self.folder / f"python-{version}")
        self.environments.append(made)
        digest, seconds = train([made.python, *TRAIN, self.out()], cwd=self.folder, env=_clean_environment())
        return digest, seconds, made.note

    def instruction_sets(self) -> None:
        """Every instruction set of this platform's libraries."""
        platform = build.PLATFORMS.get(build.host_platform())
        for isa in platform.zig_processors if platform else ():
            self.cell(
                f"instruction set {isa}",
                f"SAMEBITS_ISA={isa} E/bin/python -m samebits train --out DIR",
                lambda isa=isa: self._instruction_set(isa),  # type: ignore[misc]
            )

    def _instruction_set(self, isa: str) -> tuple[str, float, str]:
        python = self.environment().python
        asked = "from samebits.numerics.library import runnable_isas; print(*runnable_isas())"
        if isa not in run([python, "-c", asked], env=_clean_environment()).split():
            raise NotHereError("this processor has not got it")
        return *train([python, *TRAIN, self.out()], cwd=self.folder, env=_clean_environment(SAMEBITS_ISA=isa)), ""

    def another_folder(self) -> tuple[str, float, str]:
        """The package itself in a folder with a space and an umlaut in its name, and the run there too."""
        python = self.environment().python
        asked = "import samebits; print(samebits.__path__[0])"
        elsewhere = self.folder / "an öther folder"
        shutil.copytree(run([python, "-c", asked], env=_clean_environment()).strip(), elsewhere / "samebits")
        # With -m the current folder stands first in the path.
        seen = run([python, "-c", asked], cwd=elsewhere, env=_clean_environment()).strip()
        if not Path(seen).samefile(elsewhere / "samebits"):
            raise RuntimeError("the copy was not the package that is imported")
        return *train([python, *TRAIN, self.out(elsewhere)], cwd=elsewhere, env=_clean_environment()), ""

    def another_user(self) -> tuple[str, float, str]:
        """An account that owns nothing, with its home elsewhere."""
        if os.name == "nt" or os.geteuid():
            raise NotHereError("only root can run a program as another user")
        import pwd

        accounts = [pwd.getpwnam(name) for name in STRANGERS if name in {entry.pw_name for entry in pwd.getpwall()}]
        if not accounts:
            raise NotHereError(f"there is no account {' or '.join(STRANGERS)}")
        account = accounts[0]
        home = self.folder / "home"
        home.mkdir()
        os.chown(home, account.pw_uid, account.pw_gid)
        self.environment()
        who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "cwd": home}
        environment = {"HOME": str(home), "PATH": os.defpath}
        for python in (made.python for made in self.environments):
            # A Python below root's own home is closed to others.
            try:
                run([python, "-c", "import samebits"], env=environment, **who)
            except RuntimeError:
                continue
            return *train([python, *TRAIN, self.out(home)], env=environment, **who), f"as {account.pw_name}"
        raise NotHereError("every Python here is closed to other accounts")

    def container(self) -> tuple[str, float, str]:
        """A Debian of this processor in podman, without network."""
        if build.host_platform() != CONTAINER.platform:
            raise NotHereError(f"this is not {CONTAINER.platform}")
        try:
            engine = find_engine("podman")
        except ImageError as error:
            raise NotHereError(str(error)) from error
        root = self.folder / "root-container"
        debian_root(CONTAINER, root, self.environment().python)
        store = dataclasses.replace(engine, store=self.folder / "store")
        words = [*run_words(store, environment={"PYTHONPATH": "/opt/site"}), "--rootfs", root]
        return *train([*words, f"/usr/bin/python{CONTAINER.python}", *TRAIN, "/run-1"]), "Debian 12, Python 3.11"

    def emulated(self, name: str) -> tuple[str, float, str]:
        """A Debian of another processor, in a chroot, under qemu's user mode."""
        foreign = FOREIGN[name]
        emulator = shutil.which(foreign.emulator)
        if emulator is None:
            raise NotHereError(f"there is no {foreign.emulator}")
        root = self.folder / f"root-{name}"
        debian_root(foreign, root, self.environment().python)
        shutil.copy(emulator, root / "emulator")
        # BLAS lies where only Debian's alternatives would lead to, and those were not set up.
        folders = sorted((root / "usr" / "lib").glob("*-linux-gnu*/[bl]*a*/lib[bl]*a*.so.3"))
        searched = ":".join(f"/{path.parent.relative_to(root)}" for path in folders)
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": "/opt/site", "HOME": "/", "LD_LIBRARY_PATH": searched}
        words = [
            shutil.which("chroot", path="/usr/sbin:/usr/bin:/sbin:/bin"),
            root,
            "/emulator",
            f"/usr/bin/python{foreign.python}",
        ]
        asked = "import platform, numpy; print(platform.machine(), platform.python_version(), numpy.__version__)"
        processor, python, numpy = run([*words, "-c", asked], env=environment).split()
        digest, seconds = train([*words, *TRAIN, "/run-1"], env=environment)
        version = run([emulator, "--version"]).split()[2]
        return digest, seconds, f"{processor}, Python {python}, NumPy {numpy}, qemu {version}"


def run_cells(machine: Machine) -> None:
    """Run every cell, the plain ones first."""
    machine.pythons()
    machine.instruction_sets()
    machine.cell(
        "another folder", "cd 'an öther folder'; E/bin/python -m samebits train --out DIR", machine.another_folder
    )
    machine.cell(
        "another user", "E/bin/python -m samebits train --out DIR, started with user=nobody", machine.another_user
    )
    inside = "/usr/bin/python3.11 -m samebits train --out DIR"
    machine.cell(
        "container",
        f"podman ... run --rm --network=none ... --rootfs ROOT {inside}",
        machine.container,
        root="root-container",
    )
    for name, foreign in FOREIGN.items():
        inside = f"python{foreign.python} -m samebits train --out DIR"
        command = f"chroot ROOT /emulator /usr/bin/{inside}"
        machine.cell(f"emulated {name}", command, lambda name=name: machine.emulated(name), root=f"root-{name}")  # type: ignore[misc]


def main(arguments: Sequence[str]) -> int:
    """Run the cells and print what came of each."""
    parser = argparse.ArgumentParser(description="Make README's golden digest again wherever this machine can.")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="only cells with one of these in their name"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table of docs/machines.md, too")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the run folders here, and print their matrix")
    options = parser.parse_args(arguments)
    if options.keep and options.keep.exists():
        parser.error(f"--keep must name a new folder, got {options.keep}")
    golden = golden_digest((ROOT / "README.md").read_text(encoding="utf-8"))
    print(f"golden digest: {golden}\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="golden-") as folder:
        Path(folder).chmod(0o755)  # another user must read what was installed here
        machine = Machine(Path(folder).resolve(), golden, options.only, options.keep)
        run_cells(machine)
    if options.markdown:
        day = datetime.datetime.now(datetime.UTC).date().isoformat()
        options.markdown.write_text(markdown(machine.cells, golden, day), encoding="utf-8")
    verdicts = [cell.verdict(golden) for cell in machine.cells]
    ran = sum(verdict != "not tested" for verdict in verdicts)
    print(f"\n{ran} of {len(verdicts)} cells ran, {verdicts.count('same')} of them with the golden digest")
    code = exit_code(machine.cells, golden)
    if not options.keep:
        return code
    # The same code and table as the last job of .github/workflows/reproduce.yml: from files, not from what was printed.
    table, kept_code = report(options.keep, golden)
    print(f"\n{table}", end="")
    return DIFFERENT if DIFFERENT in (code, kept_code) else max(code, kept_code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
