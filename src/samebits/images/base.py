"""A base image out of Debian packages, where no image can be pulled: made by mmdebstrap, the same each time.

What a machine would leave in it (its name, its name servers, its mirror) is removed, and bytecode, which holds clocks;
the licences of all packages stay.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

from samebits.errors import ImageError
from samebits.images.container import INSTALL, engine_output

SUITE = "bookworm"
PYTHON = "3.11"
# The last one is for NumPy and tokenizers, whose wheels do not bring it.
PACKAGES = ("python3", "python3-venv", "libstdc++6")
PACKAGES_FILE = "usr/share/samebits/base-packages.txt"
_LIMIT_S = 1800
_HOOKS = (
    'rm -rf "$1"/etc/resolv.conf "$1"/etc/hostname "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*',
    # Licences are the files named copyright, some of them links into other packages' folders.
    'find "$1"/usr/share/doc -mindepth 1 ! -type d ! -type l ! -name copyright -delete',
    'rm -rf "$1"/usr/share/man/* "$1"/usr/share/info/* "$1"/usr/share/locale/* "$1"/var/cache/debconf/*-old',
    'find "$1" -xdev -name __pycache__ -prune -exec rm -rf {} +',
    f'mkdir -p "$1"/usr/share/samebits && chroot "$1" dpkg-query -W > "$1"/{PACKAGES_FILE}',
)


def make_base(archive: Path, *, epoch: int, mirror: str | None = None) -> None:
    """Write a Debian with Python as a tar.

    Args:
        archive: the new file.
        epoch: no file is younger, in seconds since 1970.
        mirror: where packages come from; where this Debian has them from, if left out.
    Raises:
        ImageError: not root, no mmdebstrap, or packages that cannot be had.
    """
    if os.name == "nt" or os.geteuid():
        raise ImageError(
            "a base can be made by root only", got="another user", remedy="name an image with --base, or run as root"
        )
    program = shutil.which("mmdebstrap")
    if program is None:
        raise ImageError("mmdebstrap must be here to make a base", got="none", remedy=INSTALL)
    words = [program, "--quiet", "--variant=essential", "--mode=root", "--format=tar"]
    words += ["--aptopt=APT::Install-Recommends false", f"--include={','.join(PACKAGES)}"]
    words += [f"--customize-hook={hook}" for hook in _HOOKS]
    words += [SUITE, str(archive)]
    if where := mirror or local_mirror(Path("/")):
        words.append(where)
    # Nothing of our environment but where programs are: neither locale nor umask may reach the files.
    environment = {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}
    environment |= {
        name: value for name, value in os.environ.items() if name.lower().endswith("_proxy") or name == "TMPDIR"
    }
    environment["SOURCE_DATE_EPOCH"] = str(epoch)
    engine_output(words, limit_s=_LIMIT_S, env=environment, umask=0o022)


def local_mirror(root: Path) -> str | None:
    """Return the mirror that a Debian below `root` uses; None: mmdebstrap knows one."""
    sources = {
        "etc/apt/sources.list.d/debian.sources": r"^URIs: (\S+)",
        "etc/apt/sources.list": r"^deb (?:\[[^]]*\] )?(http\S+)",
    }
    for name, pattern in sources.items():
        path = root / name
        if path.is_file() and (found := re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)):
            return found[1]
    return None


def packages_of(archive: Path) -> dict[str, str]:
    """Return the version of each Debian package of a base.

    Raises:
        ImageError: a file that `make_base` did not write.
    """
    try:
        with tarfile.open(archive) as base:
            names = (f"./{PACKAGES_FILE}", PACKAGES_FILE)
            member = next(base.extractfile(entry) for entry in base if entry.name in names)
            text = member.read().decode() if member else ""
    except (OSError, tarfile.TarError, StopIteration, UnicodeDecodeError) as error:
        raise ImageError(
            "a base must be one that samebits made", got=str(error) or "none", where=str(archive)
        ) from error
    return parse_packages(text)


def parse_packages(text: str) -> dict[str, str]:
    """Return name and version of each line of `dpkg-query -W`."""
    lines = (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: version for name, version in lines}  # noqa: C416 (a line must have two parts)


def moved_packages(locked: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Return what differs from the locked packages, one phrase each: then the digest is another one, too."""
    names = sorted(locked.keys() | found.keys())
    return [
        f"{name} {found.get(name, 'none')} (locked: {locked.get(name, 'none')})"
        for name in names
        if locked.get(name) != found.get(name)
    ]
