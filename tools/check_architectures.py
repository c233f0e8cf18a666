"""Repeat kernel calls, recorded here from passing tests, on other architectures: same bits or not, kernel by kernel.

    .venv/bin/python tools/check_architectures.py [TARGET ...] [--recording FILE] [--out DIR]

Each target gets kernels of the sources and flags that ship, and runs by an emulator or on this very processor. A
target that cannot run here is named with its reason and counted. For macOS there is no emulator: its libraries are
compiled and linked, and must hold every kernel's symbol. Exit code: 0 every target that ran has the same bits; 1 one
has not; 2 one could not tell, or none ran. See docs/platforms.md.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFORMANCE = ROOT / "tests" / "conformance"
sys.path.insert(0, str(ROOT / "src"))

from samebits.numerics import build, library  # noqa: E402
from samebits.numerics.build import NATIVE, PLATFORMS  # noqa: E402
from samebits.numerics.ops import OPS, Op  # noqa: E402

SAME, DIFFERENT, UNDECIDED = 0, 1, 2
C_TYPES = {
    ctypes.c_int32: ("int32_t", "(int32_t)v[{}].i"),
    ctypes.c_uint32: ("uint32_t", "(uint32_t)v[{}].i"),
    ctypes.c_int64: ("int64_t", "v[{}].i"),
    ctypes.c_uint64: ("uint64_t", "(uint64_t)v[{}].i"),
    ctypes.c_float: ("float", "v[{}].f"),
    ctypes.c_double: ("double", "v[{}].d"),
    ctypes.c_void_p: ("void*", "v[{}].p"),
}
# Kernels of these clauses run with flush to zero on; an emulator that flushes wrongly can say nothing of them.
FLUSHING = {op.symbol for op in OPS if op.clause == "N-05"}
# Of each kernel, for a replay to say something about it: many calls, or a few with much in them.
LEAST_CALLS, LEAST_ELEMENTS = 50, 50_000


@dataclass(frozen=True)
class Target:
    """Where a recording is replayed.

    Args:
        platform, isa: the kernels, by their names in build.py.
        runner: what starts the replayer; empty: this processor.
        linked: the kernels are linked into the replayer, statically and against musl, for this machine has no C library
            of the target to load the shipped file with; else that very file is loaded.
    """

    platform: str
    isa: str
    runner: tuple[str, ...] = ()
    linked: bool = False


_HOST = build.host_platform()
_NATIVE = PLATFORMS[_HOST].zig_processors if _HOST in PLATFORMS else ()
_HASWELL = ("qemu-x86_64-static", "-cpu", "Haswell")
_NEHALEM = ("qemu-x86_64-static", "-cpu", "Nehalem")
TARGETS = {
    **{f"native-{isa}": Target(_HOST, isa) for isa in _NATIVE},
    "haswell": Target("linux-x86_64", "avx2", _HASWELL),
    "nehalem": Target("linux-x86_64", "baseline", _NEHALEM),
    "aarch64": Target("linux-aarch64", "neon", ("qemu-aarch64-static",), linked=True),
    "riscv64": Target("linux-riscv64", "baseline", ("qemu-riscv64-static",), linked=True),
    "s390x": Target("linux-s390x", "baseline", ("qemu-s390x-static",), linked=True),
    **{f"wine-{isa}": Target("windows-x86_64", isa, ("wine",)) for isa in PLATFORMS["windows-x86_64"].zig_processors},
}
FLUSHES_EARLY = "this emulator flushes to zero before rounding, which no x86-64 does"
LINKED_ONLY = ("macos-arm64", "macos-x86_64")


@dataclass
class Outcome:
    """What a replay said.

    Args:
        isa: what the kernels call themselves.
        kernels: calls, compared elements and calls that differed, by symbol.
        differences: the first difference of each kernel, in words.
        flushes_early: this emulator asks before rounding whether a result is to be flushed, which no x86-64 does.
        error: why nothing can be told.
    """

    isa: str = ""
    kernels: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    flushes_early: bool = False
    error: str = ""

    @property
    def not_judged(self) -> dict[str, int]:
        """Return how many calls differed of each kernel whose difference may be the emulator's."""
        early = FLUSHING if self.flushes_early else set()
        return {symbol: n for symbol, (_, _, n) in self.kernels.items() if n and symbol in early}

    @property
    def code(self) -> int:
        """Return 0 same, 1 different, 2 undecided."""
        if any(n for symbol, (_, _, n) in self.kernels.items() if symbol not in self.not_judged):
            return DIFFERENT
        return UNDECIDED if self.error or self.rare else SAME

    @property
    def rare(self) -> dict[str, int]:
        """Return how often each kernel was called that was called too rarely."""
        rows = self.kernels.items()
        return {symbol: calls for symbol, (calls, n, _) in rows if calls < LEAST_CALLS and n < LEAST_ELEMENTS}


def why_not(target: Target) -> str:
    """Return why a target cannot run here, or nothing."""
    if target.runner and shutil.which(target.runner[0]) is None:
        return f"there is no {target.runner[0]}"
    if target.linked:
        return ""
    if not build.host_platform().endswith("-x86_64"):
        return "this processor is no x86-64"
    if not target.runner and build.host_platform() != target.platform:
        return f"this is not {target.platform}"
    if target.runner[:1] != ("qemu-x86_64-static",) and target.isa not in library.runnable_isas():
        return f"this processor has no {target.isa}, or its library is not built"
    return ""


def record(path: Path, isa: str, tests: Sequence[str] = ("tests/oracle", "tests/spec")) -> str:
    """Write the kernel calls of these tests to `path` and return what pytest printed.

    Raises:
        RuntimeError: a test failed, or a kernel was called in a way that cannot be recorded.
    """
    paths = [str(ROOT / "src"), str(CONFORMANCE), *filter(None, [os.environ.get("PYTHONPATH")])]
    options = ("-q", "-p", "recorder", "-p", "no:cacheprovider", "--record-calls", str(path), "--record-isa", isa)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the recorded tests must pass:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return done.stdout


def callers(ops: Sequence[Op], *, linked: bool) -> str:
    """Return calls.inc: for each kernel a function that calls it by its signature."""
    lines, rows = [], []
    for op in ops:
        types = ", ".join(C_TYPES[kind][0] for kind in op.arguments)
        values = ", ".join(C_TYPES[kind][1].format(i) for i, kind in enumerate(op.arguments))
        returned = C_TYPES[op.returns][0]
        if linked:
            lines.append(f'extern "C" {returned} {op.symbol}({types});')
        lines.append(
            f"int64_t call_{op.symbol}(void* f, const Value* v) {{ return (({returned} (*)({types}))f)({values}); }}"
        )
        address = f"(void*){op.symbol}" if linked else "nullptr"
        rows.append(f'    {{"{op.symbol}", {len(op.arguments)}, call_{op.symbol}, {address}}},')
    if linked:
        lines.append('extern "C" const char* sb_isa();')
    return "\n".join([*lines, "const Kernel KERNELS[] = {", *rows, "};", ""])


def compile_replayer(target: Target, folder: Path, *, native: Path = NATIVE) -> Path:
    """Compile the replayer for a target, with the kernels in it where they are to be linked.

    Raises:
        RuntimeError: the compiler refused.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Beside what it includes, so that the folder stands in no flag and the compiler's cache serves the kernels.
    (folder / "calls.inc").write_text(callers(OPS, linked=target.linked), encoding="utf-8")
    shutil.copy(CONFORMANCE / "replayer.cpp", folder)
    platform = PLATFORMS[target.platform]
    zig_target, processor = platform.zig_target, platform.zig_processors["neon" if target.isa == "neon" else "baseline"]
    flags = [flag for flag in build.CODE_FLAGS if flag != "-shared"]
    sources = [str(folder / "replayer.cpp")]
    if target.linked:
        zig_target, processor = f"{zig_target.partition('-')[0]}-linux-musl", platform.zig_processors[target.isa]
        flags += ["-static", "-DREPLAY_LINKED", '-DSB_SOURCES="replayed"']
        sources += sorted(path.name for path in native.glob("*.cpp"))
    path = folder / ("replayer.exe" if platform.suffix == ".dll" else "replayer")
    compiler = (sys.executable, "-m", "ziglang", "c++", "-target", zig_target, f"-mcpu={processor}")
    flags += [*build.ZIG_FLAGS, *platform.link_flags, *build.ARITHMETIC_FLAGS]
    done = subprocess.run(
        [*compiler, *flags, "-o", str(path), *sources],
        cwd=native,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the replayer must compile for {target.platform}:\n{done.stderr[-3000:]}")
    return path


def replay(target: Target, recording: Path, folder: Path, *, native: Path = NATIVE) -> Outcome:
    """Compile what a target needs into `folder`, replay the recording there and return what came of it."""
    words = [str(compile_replayer(target, folder, native=native)), str(recording)]
    if not target.linked:
        made = build.build(target.platform, folder=folder, native=native, isas=[target.isa], compiler="")
        words.append(str(made[target.isa]))
    environment = dict(os.environ)
    if target.runner == ("wine",):
        environment |= {"WINEPREFIX": str(folder / "wine"), "WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree,mshtml="}
        environment |= {"DISPLAY": ""}
        words[1:] = ["Z:" + word.replace("/", "\\") for word in words[1:]]
    done = subprocess.run(
        [*target.runner, *words], env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    return outcome(done.stdout, done.returncode, done.stderr)


def outcome(printed: str, code: int, errors: str = "") -> Outcome:
    """Return what the replayer's lines mean; one that stopped before its last line tells nothing."""
    result = Outcome()
    lines = [line.split("\t") for line in printed.splitlines()]
    for kind, *words in lines:
        if kind == "isa":
            result.isa = words[0]
        elif kind == "kernel":
            n_calls, n_elements, n_different = map(int, words[1:])
            result.kernels[words[0]] = n_calls, n_elements, n_different
        elif kind == "difference":
            result.differences.append(" ".join(words))
        elif kind == "flushes early":
            result.flushes_early = True
        elif kind == "error":
            result.error = words[0]
    early = tuple(f"{symbol} " for symbol in result.not_judged)
    result.differences = [line for line in result.differences if not line.startswith(early)]
    if not result.error and (["end"] not in lines or code not in (SAME, DIFFERENT)):
        result.error = f"the replayer stopped with exit code {code}: {errors.strip()[-300:]}"
    return result


def _run(name: str, recording: Path, folder: Path) -> Outcome | None:
    """Replay on one target and print its row; None where it cannot run here."""
    target = TARGETS[name]
    if reason := why_not(target):
        print(f"{name:16} SKIPPED    {reason}", flush=True)
        return None
    start = time.monotonic()
    try:
        result = replay(target, recording, folder)
    except RuntimeError as error:
        result = Outcome(error=str(error))
    n_calls = sum(calls for calls, _, _ in result.kernels.values())
    n_elements = sum(elements for _, elements, _ in result.kernels.values())
    verdict = ("same", "DIFFERENT", "UNDECIDED")[result.code]
    counts = f"{len(result.kernels)} kernels, {n_calls} calls, {n_elements} elements"
    print(f"{name:16} {verdict:10} {result.isa:9} {counts}, {time.monotonic() - start:.0f} s", flush=True)
    rest = [f"{symbol} was called {n} times, {LEAST_CALLS} are needed" for symbol, n in result.rare.items()]
    rest += [f"{symbol} is not judged: {FLUSHES_EARLY}; {n} calls differ" for symbol, n in result.not_judged.items()]
    for line in [*result.differences, *rest, *filter(None, [result.error])]:
        print(f"    {line}", flush=True)
    return result


def missing_symbols(library_file: Path) -> list[str]:
    """Return the kernels that a library's table of symbols does not name, where names start with an underscore."""
    data = library_file.read_bytes()
    return [op.symbol for op in OPS if b"\0_" + op.symbol.encode() + b"\0" not in data]


def _link(platform: str, folder: Path) -> Outcome:
    """Compile and link for a platform that nothing here can run, and print its row."""
    made = build.build(platform, folder=folder, compiler="")
    lost = sorted({symbol for path in made.values() for symbol in missing_symbols(path)})
    verdict = f"no {', '.join(lost)}" if lost else f"not run: {', '.join(made)} link and hold {len(OPS)} kernels"
    print(f"{platform:16} {'UNDECIDED' if lost else 'links':10} {verdict}", flush=True)
    return Outcome(error=verdict if lost else "")


def main(arguments: Sequence[str]) -> int:
    """Record, or take a recording, and replay it on the targets named, or on all."""
    parser = argparse.ArgumentParser(description="Replay recorded kernel calls on other architectures.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--recording", type=Path, help="a file to replay; default: the tests are recorded now")
    parser.add_argument("--out", type=Path, help="keep the recording and the programs in this folder")
    options = parser.parse_args(arguments)
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"the targets must be among {', '.join(TARGETS)}, got {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="architectures-") as temporary:
        folder = (options.out or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        recording = options.recording
        if recording is None:
            recording = folder / "calls.bin"
            try:
                record(recording, library.runnable_isas()[-1])
            except RuntimeError as error:
                print(f"error: {error}", file=sys.stderr)
                return UNDECIDED
        results = [_run(name, recording.resolve(), folder / name) for name in options.targets or TARGETS]
        linked = [_link(name, folder / name) for name in LINKED_ONLY] if not options.targets else []
    ran = [result for result in results if result is not None]
    print(f"{len(ran)} of {len(results)} targets ran, {sum(result.code == SAME for result in ran)} with the same bits")
    if any(result.code == DIFFERENT for result in ran):
        return DIFFERENT
    return UNDECIDED if not ran or any(result.code for result in [*ran, *linked]) else SAME


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
