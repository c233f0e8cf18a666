"""Build the sdist and the wheel of every platform from this machine, twice, and compare the bytes.

    .venv/bin/python tools/build_wheels.py [--platform NAME ...] [--out DIR] [--once]

The first time in one folder, the second in another of other times, with another home, time zone and file mask and an
empty cache of the compiler, in the reverse order. Each wheel is looked into: its tag, its libraries, its record, and on
Linux the glibc that the libraries ask for. DIR (default `dist`) gets the files and SHA256SUMS. Exit code: 0 every file
came out twice the same; 1 one did not, or is not what its name says; 2 one could not be built. See docs/automation.md.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from samebits.numerics.build import PLATFORMS  # noqa: E402

SAME, DIFFERENT, UNDECIDED = 0, 1, 2
# Any moment serves; the second build's files are older than it by years.
EPOCH = "1767225600"
OTHER_TIME = 1_000_000_000
SDIST = "sdist"


@dataclass(frozen=True)
class Surroundings:
    """Where and how one of the two builds takes place: nothing of it may reach a byte."""

    folder: Path
    time_zone: str
    umask: int
    mtime: int | None

    def environment(self, platform: str) -> dict[str, str]:
        """Return the variables of one build; the compiler's cache is this folder's own."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "SAMEBITS_", "ZIG_", "HATCH"))
        }
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        cache = str(self.folder / "cache")
        more = {"SOURCE_DATE_EPOCH": EPOCH, "TZ": self.time_zone, "HOME": str(home)}
        more |= {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        return kept | more | ({} if platform == SDIST else {"SAMEBITS_PLATFORM": platform})


def build_file(platform: str, sources: Path, around: Surroundings) -> Path:
    """Build the sdist or a platform's wheel from a source tree and return its path.

    Raises:
        RuntimeError: hatchling or the compiler refused.
    """
    out = around.folder / platform
    target = SDIST if platform == SDIST else "wheel"
    words = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    options: dict[str, Any] = {} if os.name == "nt" else {"umask": around.umask}
    done = subprocess.run(
        words, cwd=sources, env=around.environment(platform), capture_output=True, text=True, check=False, **options
    )
    made = list(out.glob("*")) if done.returncode == 0 else []
    if len(made) != 1:
        raise RuntimeError((done.stderr.strip() or done.stdout.strip() or "nothing was built")[-500:])
    return made[0]


def unpack(sdist: Path, folder: Path, mtime: int | None) -> Path:
    """Unpack an sdist and return the source tree in it, its files dated `mtime` where one is given."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (root,) = folder.iterdir()
    for path in root.rglob("*") if mtime else ():
        os.utime(path, (mtime, mtime))  # type: ignore[arg-type]
    return root


def wrong_in_wheel(path: Path, platform: str) -> list[str]:
    """Return what is not as the wheel's name and platform say: tag, libraries, record, glibc."""
    target = PLATFORMS[platform]
    tag = path.stem.partition("-py3-none-")[2]
    wrong = [] if tag == _expected_tag(platform) else [f"the tag must be {_expected_tag(platform)}, got {tag}"]
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    libraries = {name: data for name, data in files.items() if "/native/lib/" in name}
    folder = f"samebits/numerics/native/lib/{platform}"
    expected = {f"{folder}/libsamebits_{isa}{target.suffix}" for isa in target.zig_processors}
    if set(libraries) != expected:
        wrong.append(f"the libraries must be those of {platform}, got {', '.join(sorted(libraries)) or 'none'}")
    (information,) = (data.decode() for name, data in files.items() if name.endswith(".dist-info/WHEEL"))
    if f"Tag: py3-none-{tag}\n" not in information or "Root-Is-Purelib: false" not in information:
        wrong.append("WHEEL must have the tag of the file's name, and no pure Python")
    wrong += _wrong_in_record(files)
    newest = _newest_glibc(libraries.values())
    if tag.startswith("manylinux") and newest > _numbers(tag):
        wrong.append(f"the libraries must do with the glibc of {tag}, got {'.'.join(map(str, newest))}")
    return wrong


def _expected_tag(platform: str) -> str:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    return str(hook.wheel_platform(platform, PLATFORMS[platform].zig_target))


def _numbers(tag: str) -> tuple[int, int]:
    found = re.match(r"manylinux_(\d+)_(\d+)_", tag)
    assert found is not None
    return int(found[1]), int(found[2])


def _newest_glibc(libraries: Any) -> tuple[int, int]:
    versions = {
        (int(major), int(minor)) for data in libraries for major, minor in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", data)
    }
    return max(versions, default=(0, 0))


def _wrong_in_record(files: dict[str, bytes]) -> list[str]:
    (name,) = (name for name in files if name.endswith(".dist-info/RECORD"))
    rows = {row[0]: row[1] for row in csv.reader(io.StringIO(files[name].decode()))}
    told = {path: f"sha256={_urlsafe_sha256(data)}" for path, data in files.items() if path != name}
    return [] if {path: digest for path, digest in rows.items() if path != name} == told else ["RECORD must list all"]


def _urlsafe_sha256(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


class Builds:
    """Builds each file in two surroundings and keeps what came of it."""

    def __init__(self, folder: Path, out: Path, *, once: bool) -> None:
        first = Surroundings(folder / "one", "UTC", 0o022, None)
        second = Surroundings(folder / "the öther one", "Asia/Kathmandu", 0o077, OTHER_TIME)
        self.surroundings = [first] if once else [first, second]
        self.out = out
        self.verdicts: dict[str, int] = {}
        self._made: dict[str, list[Path]] = {}
        self._failed: dict[str, str] = {}

    def build(self, platforms: Sequence[str]) -> None:
        """Build the sdist of the checkout and, from the unpacked sdist, every wheel.

        The second time, the sdist is made of the first one.
        """
        sdist: Path | None = None
        for number, around in enumerate(self.surroundings):
            around.folder.mkdir()
            # Never the checkout twice: one that changes meanwhile would look like a build that cannot be repeated.
            origin = unpack(sdist, around.folder / "origin", around.mtime) if sdist else ROOT
            sdist = self._build(SDIST, origin, around)
            if sdist is None:
                return
            sources = unpack(sdist, around.folder / "sources", around.mtime)
            for platform in reversed(platforms) if number else platforms:
                self._build(platform, sources, around)

    def _build(self, platform: str, sources: Path, around: Surroundings) -> Path | None:
        try:
            made = build_file(platform, sources, around)
        except RuntimeError as error:
            self._failed[platform] = str(error)
            return None
        self._made.setdefault(platform, []).append(made)
        print(f"built {made.name} in {around.folder.name!r}", flush=True)
        return made

    def compare(self, platforms: Sequence[str]) -> None:
        """Compare, look into each wheel, keep what is right, and print a line for each file."""
        sums = []
        for platform in (SDIST, *platforms):
            made = self._made.get(platform, [])
            if platform in self._failed or len(made) != len(self.surroundings):
                self._say(platform, UNDECIDED, self._failed.get(platform, "the sdist could not be built"))
                continue
            digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in made]
            wrong = [] if platform == SDIST else wrong_in_wheel(made[0], platform)
            if len(set(digests)) > 1 or made[0].name != made[-1].name:
                wrong.insert(0, f"two builds, two digests: {' '.join(digest[:12] for digest in digests)}")
            self._say(platform, DIFFERENT if wrong else SAME, "; ".join(wrong) or f"{digests[0]}  {made[0].name}")
            if not wrong:
                self.out.mkdir(parents=True, exist_ok=True)
                shutil.copy(made[0], self.out)
                sums.append(f"{digests[0]}  {made[0].name}\n")
        if sums:
            (self.out / "SHA256SUMS").write_text("".join(sums), encoding="utf-8", newline="\n")

    def _say(self, platform: str, verdict: int, what: str) -> None:
        self.verdicts[platform] = verdict
        built = "built twice the same" if len(self.surroundings) > 1 else "built once"
        print(f"{platform:16} {(built, 'different', 'failed')[verdict]}: {what}", flush=True)


def exit_code(verdicts: Sequence[int]) -> int:
    """Return 1 if one file differs, else 2 if one could not be built, else 0."""
    return DIFFERENT if DIFFERENT in verdicts else max(verdicts, default=UNDECIDED)


def main(arguments: Sequence[str]) -> int:
    """Build everything that was asked for, twice, and say what came of it."""
    parser = argparse.ArgumentParser(description="Build the sdist and every platform's wheel, twice, and compare.")
    parser.add_argument("--platform", nargs="+", choices=list(PLATFORMS), metavar="NAME", help="only these")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", metavar="DIR", help="where the files go")
    parser.add_argument("--once", action="store_true", help="build once and compare nothing")
    options = parser.parse_args(arguments)
    missing = [name for name in ("hatchling", "ziglang") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"error: {' and '.join(missing)} must be installed: run .venv/bin/python", file=sys.stderr)
        return UNDECIDED
    platforms = options.platform or list(PLATFORMS)
    with tempfile.TemporaryDirectory(prefix="wheels-") as folder:
        builds = Builds(Path(folder).resolve(), options.out.resolve(), once=options.once)
        builds.build(platforms)
        builds.compare(platforms)
    return exit_code(list(builds.verdicts.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
