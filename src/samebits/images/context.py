"""The folder that an engine builds from: what of the checkout reaches the image, its digest, and all wheels."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from samebits.canonical.digests import sha256_bytes, sha256_listing
from samebits.errors import ImageError, printable
from samebits.images.base import PYTHON

DOCKERFILE = "docker/Dockerfile"
WHEELHOUSE = "docker/wheelhouse"
LOCKS = ("image", "image-torch")
_PARTS = (
    *("docker/Dockerfile", "docker/install.sh", "docker/wheelhouse/README.md", "requirements"),
    *("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "src"),
)
_LEFT_OUT = ("__pycache__", "lib")
# glibc up to that of the base; pip wants each level by name.
_GLIBC_MINORS = (36, 35, 34, 31, 28, 27, 26, 24, 17)
_CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
_LIMIT_S = 1800


def stage(source: Path, folder: Path) -> str:
    """Copy what reaches the image, with the same permissions each time, and return the source digest.

    The digest is the SHA-256 of what `sha256sum` prints for these files, sorted by path.

    Args:
        source: a checkout.
        folder: made new.
    Raises:
        ImageError: not a checkout of samebits.
    """
    digests = {}
    for path in source_files(source):
        name = path.relative_to(source).as_posix()
        data = path.read_bytes()
        digests[name] = sha256_bytes(data)
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        target.chmod(0o644)
    for directory, _, _ in os.walk(folder):
        Path(directory).chmod(0o755)
    return sha256_listing(digests)


def source_files(source: Path) -> Iterator[Path]:
    """Yield every file that reaches the image, sorted.

    Raises:
        ImageError: one of them is not there.
    """
    for part in _PARTS:
        path = source / part
        if path.is_file():
            yield path
        elif path.is_dir():
            found = (below for below in path.rglob("*") if below.is_file())
            yield from sorted(
                below for below in found if not set(_LEFT_OUT) & set(below.relative_to(source).parent.parts)
            )
        else:
            remedy = "name one with --source"
            raise ImageError(
                "the source must be a checkout of samebits", got=f"no {part}", where=str(source), remedy=remedy
            )


def version_of(source: Path) -> str:
    """Return the version that a checkout states.

    Raises:
        ImageError: it states none.
    """
    path = source / "src" / "samebits" / "__init__.py"
    found = (
        re.search(r'^__version__ = "(.+)"$', path.read_text(encoding="utf-8"), re.MULTILINE) if path.exists() else None
    )
    if found is None:
        raise ImageError("the source must state a version", got="none", where=str(path))
    return found[1]


def fetch_wheels(context: Path, lock: str, wheelhouse: Path) -> None:
    """Download every wheel of a lock for the base's Python and this processor, each checked against its SHA-256.

    Raises:
        ImageError: pip failed.
    """
    processor = platform.machine().lower()
    processor = {"amd64": "x86_64", "arm64": "aarch64"}.get(processor, processor)
    tags = [f"--platform=manylinux_2_{minor}_{processor}" for minor in _GLIBC_MINORS]
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    words += ["--require-hashes", "--only-binary=:all:", f"--python-version={PYTHON}", "--implementation=cp", *tags]
    words += [f"--platform=manylinux2014_{processor}", f"--dest={wheelhouse}"]
    words += ["--requirement", str(context / "requirements" / f"{lock}.txt")]
    try:
        _run(words, context)
    except ImageError:
        if lock != "image-torch":
            raise
        # PyPI has no CPU build of torch for Linux.
        _run([*words, f"--extra-index-url={_CPU_WHEELS}"], context)


def build_wheel(context: Path, *, epoch: int, compiler_cache: Path | None = None) -> Path:
    """Build samebits' wheel, kernels compiled, out of a staged context into its wheelhouse.

    Args:
        compiler_cache: an empty folder, so that everything is compiled anew; the compiler's own where left out.
    Raises:
        ImageError: no hatchling here, or the build failed.
    """
    environment = {"SOURCE_DATE_EPOCH": str(epoch), "PYTHONDONTWRITEBYTECODE": "1"}
    if compiler_cache is not None:
        environment |= dict.fromkeys(("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"), str(compiler_cache))
    wheelhouse = context / WHEELHOUSE
    _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheelhouse)], context, environment)
    found = sorted(wheelhouse.glob("samebits-*.whl"))
    if len(found) != 1:
        raise ImageError("the build must leave one wheel", got=str(len(found)), where=str(wheelhouse))
    return found[0]


def add_wheels(wheels: Path, context: Path) -> None:
    """Put downloaded wheels into a context."""
    for wheel in sorted(wheels.glob("*.whl")):
        target = context / WHEELHOUSE / wheel.name
        shutil.copyfile(wheel, target)
        target.chmod(0o644)


def _run(words: list[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
    # Our own sources may lie in PYTHONPATH; what is built is the staged tree.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        words,
        cwd=folder,
        env={**inherited, **(environment or {})},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_LIMIT_S,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if "rror" in line] or ["nothing printed"]
        what = " ".join(words[1:4])
        remedy = "install samebits[dev] into the Python that runs this" if "No module named" in lines[-1] else None
        raise ImageError(f"`{what}` must succeed", got=printable(lines[-1])[:300], remedy=remedy)
