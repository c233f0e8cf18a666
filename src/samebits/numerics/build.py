"""Compile the native kernels: one shared library per instruction set, byte for byte the same from any host.

    python -m samebits.numerics.build [PLATFORM] [--out DIR]

The compiler is the clang of the pinned `ziglang` package; SAMEBITS_CXX names a system compiler instead (g++ or clang++,
for this very machine): other bytes, the same bits. Every flag that can reach a bit stands in this file.
"""

from __future__ import annotations

import hashlib
import os
import platform as machine
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from samebits.errors import NumericsError, UsageError

NATIVE = Path(__file__).resolve().parent / "native"
LIBRARIES = NATIVE / "lib"
SOURCES = tuple(sorted(path.name for path in NATIVE.glob("*.cpp")))

# N-02: no contraction, and nothing that lets a compiler reorder, estimate or flush.
ARITHMETIC_FLAGS = ("-ffp-contract=off", "-fno-fast-math", "-fno-math-errno")
CODE_FLAGS = (
    *("-std=c++17", "-O3", "-fPIC", "-shared", "-pthread", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti"),
    # Warnings are for whoever changes the sources; vectors wider than a register never cross a call of ours.
    *("-Wall", "-Wextra", "-Wno-psabi"),
)
ZIG_FLAGS = ("-nostdlib++", "-fno-sanitize=all", "-g0")
GXX_FLAGS = ("-g0", "-s")


@dataclass(frozen=True)
class Platform:
    """Where libraries run: what zig calls it, how a library's name ends, and a processor name per instruction set."""

    zig_target: str
    suffix: str
    zig_processors: Mapping[str, str]
    link_flags: tuple[str, ...] = ("-s", "-Wl,--build-id=none")


_X86 = {"baseline": "x86_64", "avx2": "x86_64_v3", "avx512": "x86_64_v4"}
PLATFORMS = {
    "linux-x86_64": Platform("x86_64-linux-gnu.2.17", ".so", _X86 | {"amx": "x86_64_v4+amx_tile+amx_bf16"}),
    "linux-aarch64": Platform("aarch64-linux-gnu.2.17", ".so", {"neon": "generic"}),
    "linux-riscv64": Platform("riscv64-linux-gnu.2.27", ".so", {"baseline": "baseline_rv64"}),
    "linux-s390x": Platform("s390x-linux-gnu.2.17", ".so", {"baseline": "z13"}),
    "macos-arm64": Platform("aarch64-macos.11.0", ".dylib", {"neon": "apple_m1"}, ("-s",)),
    "macos-x86_64": Platform("x86_64-macos.11.0", ".dylib", _X86, ("-s",)),
    "windows-x86_64": Platform("x86_64-windows-gnu", ".dll", _X86, ("-s",)),
}
GXX_PROCESSORS = {
    "baseline": ("-march=x86-64",),
    "avx2": ("-march=x86-64-v3",),
    "avx512": ("-march=x86-64-v4",),
    "amx": ("-march=x86-64-v4", "-mamx-tile", "-mamx-bf16"),
}


def host_platform() -> str:
    """Return this machine's name in PLATFORMS, whether it stands there or not."""
    system = {"darwin": "macos", "win32": "windows"}.get(sys.platform, sys.platform)
    processor = machine.machine().lower()
    processor = {"amd64": "x86_64", "arm64": "arm64" if system == "macos" else "aarch64"}.get(processor, processor)
    # Neither loads these libraries: a system on another libc, a Python of 32 bits on a processor of 64.
    if "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or ""):
        system += "-musl"
    return f"{system}-{processor}" + ("" if sys.maxsize > 2**32 else "-32bit")


def library_path(isa: str, *, platform: str, folder: Path) -> Path:
    """Return where the library of an instruction set lies below `folder`."""
    return folder / platform / f"libsamebits_{isa}{PLATFORMS[platform].suffix}"


def sources_sha256(native: Path = NATIVE) -> str:
    """Return the digest of everything that decides a library's arithmetic: the sources and the flags."""
    digest = hashlib.sha256()
    for path in sorted([*native.glob("*.cpp"), *native.glob("*.hpp")], key=lambda path: path.name):
        # A checkout may have turned line ends: they decide nothing.
        data = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{path.name} {len(data)}\n".encode() + data)
    digest.update(repr((ARITHMETIC_FLAGS, CODE_FLAGS, ZIG_FLAGS, sorted(PLATFORMS.items()))).encode())
    return digest.hexdigest()


def build(
    platform: str | None = None,
    *,
    folder: Path = LIBRARIES,
    native: Path = NATIVE,
    isas: Sequence[str] | None = None,
    sources: Sequence[str] = SOURCES,
    extra_flags: Sequence[str] = (),
    compiler: str | None = None,
) -> dict[str, Path]:
    """Compile the libraries of a platform and return their paths by instruction set.

    Args:
        platform: a name of PLATFORMS; default: this machine.
        folder: takes `<platform>/libsamebits_<isa>.so`; a file is there whole or not at all.
        native: the folder of the sources.
        isas: which instruction sets; default: all of the platform.
        compiler: a command line of g++'s manners for this machine; default: SAMEBITS_CXX, else ziglang.
    Raises:
        UsageError: the platform is not known.
        NumericsError: the compiler is not there or refused.
    """
    platform = platform or host_platform()
    if platform not in PLATFORMS:
        raise UsageError("the platform must be one of " + ", ".join(PLATFORMS), got=platform)
    compiler = os.environ.get("SAMEBITS_CXX") if compiler is None else compiler
    paths = {}
    for isa in isas or PLATFORMS[platform].zig_processors:
        command = _command(platform, isa, compiler)
        defined = f'-DSB_SOURCES="{sources_sha256(native)}"'
        paths[isa] = library_path(isa, platform=platform, folder=folder)
        _compile([*command, *extra_flags, defined], sources, native, paths[isa])
    return paths


def _command(platform: str, isa: str, compiler: str | None) -> list[str]:
    target = PLATFORMS[platform]
    if compiler:
        if platform != host_platform():
            raise UsageError("SAMEBITS_CXX must be unset to compile for another platform", got=compiler)
        processor = GXX_PROCESSORS[isa] if platform.endswith("x86_64") else ()
        return [*shlex.split(compiler), *processor, *GXX_FLAGS, *CODE_FLAGS, *ARITHMETIC_FLAGS]
    zig = [sys.executable, "-m", "ziglang", "c++", "-target", target.zig_target, f"-mcpu={target.zig_processors[isa]}"]
    # On macOS a library holds its own path, and else that would be the folder of the build.
    name = library_path(isa, platform=platform, folder=Path()).name
    named = [f"-Wl,-install_name,@rpath/{name}"] if target.suffix == ".dylib" else []
    return [*zig, *ZIG_FLAGS, *target.link_flags, *named, *CODE_FLAGS, *ARITHMETIC_FLAGS]


def _compile(command: Sequence[str], sources: Sequence[str], native: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The compiler works in the sources' folder and writes under the library's own name, so that no path enters it.
    with tempfile.TemporaryDirectory(prefix=".build-", dir=path.parent) as temporary:
        made = Path(temporary) / path.name
        try:
            done = subprocess.run(
                [*command, "-o", str(made), *sources], cwd=native, capture_output=True, text=True, check=False
            )
        except OSError as error:
            raise NumericsError(
                "the kernels need their compiler", got=f"{command[0]}: {error.strerror}", remedy="unset SAMEBITS_CXX"
            ) from None
        if done.returncode or not made.is_file():
            raise NumericsError(
                "the kernels must compile",
                got=(done.stderr.strip() or f"exit code {done.returncode}")[-2000:],
                where=path.name,
                remedy="install the pinned ziglang, or name a C++ compiler in SAMEBITS_CXX",
            )
        made.replace(path)


def main(arguments: Sequence[str]) -> None:
    """Compile for the platform named, or for this machine."""
    words = list(arguments)
    folder = LIBRARIES
    if "--out" in words:
        at = words.index("--out")
        if at + 1 == len(words):
            raise UsageError("--out must be followed by a folder")
        folder = Path(words[at + 1])
        del words[at : at + 2]
    if len(words) > 1:
        raise UsageError("at most one platform can be named", got=" ".join(words))
    for path in build(words[0] if words else None, folder=folder.resolve()).values():
        sys.stdout.write(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path}\n")


if __name__ == "__main__":
    from samebits.errors import SamebitsError

    try:
        main(sys.argv[1:])
    except SamebitsError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
