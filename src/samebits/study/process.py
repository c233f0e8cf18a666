"""Changes of what a process is given by whoever starts it: user, host name, cores, memory, clock. None may show."""

from __future__ import annotations

import ctypes.util
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from samebits.study import launcher
from samebits.study.runner import refusal
from samebits.study.surroundings import Makers
from samebits.study.variation import PRELOAD, Variation, fact

PROCESS = (
    "user",
    "umask",
    "host-name",
    "file-order",
    "address-randomisation",
    "clock",
    "affinity",
    "allocator",
)
ALLOCATORS = ("jemalloc", "tcmalloc_minimal", "tcmalloc", "mimalloc")
FAKETIME_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib")
FAKETIME_NAMES = ("libfaketimeMT.so.1", "libfaketime.so.1")
UNNAMED_USER = 54321
OTHER_HOST = "samebits-elsewhere"
FRESH_MEMORY_FILL = 165

_FACT = "training.process."
# Entries in the opposite order, for whatever asks Python: `iterdir`, `glob` and `walk` come down to these two.
_BACKWARDS = """
import os
def backwards(listdir=os.listdir, scandir=os.scandir):
    class Entries:
        def __init__(self, *folder):
            with scandir(*folder) as found:
                self.entries = iter(list(found)[::-1])
        __iter__ = __enter__ = lambda self: self
        __next__ = lambda self: next(self.entries)
        close = __exit__ = lambda self, *_: None
    os.listdir, os.scandir = lambda *folder: listdir(*folder)[::-1], Entries
backwards()
"""


def process(facts: Mapping[str, Any], scratch: Path) -> Makers:
    """Return what makes the variations of each factor.

    Args:
        facts: as the golden run recorded them.
        scratch: a folder for what a variation needs.
    """
    return {
        "user": lambda: [_user(), _home(scratch)],
        "umask": lambda: [_umask("077"), _umask("000")],
        "host-name": lambda: [_host_name()],
        "file-order": lambda: [_file_order(), _disorderfs(scratch)],
        "address-randomisation": lambda: [_address_randomisation()],
        "clock": lambda: [_clock("+3650d", "clock"), _clock("-3650d", "clock-past")],
        "affinity": lambda: [_affinity(facts)],
        "allocator": lambda: [_python_allocator(), _filled_memory(), _allocator()],
    }


def _changed(
    name: str, factor: str, changed: str, change: str, facts: tuple[str, ...], *, needs: Callable[[], str | None]
) -> Variation:
    return Variation(name, factor, changed, facts=facts, changes=(change,), unavailable=needs())


def _needs_linux(*changes: str) -> Callable[[], str | None]:
    """Return what tells why these changes cannot be made here: they are tried."""

    def tell() -> str | None:
        return refusal(changes) if sys.platform == "linux" else "only Linux can"

    return tell


def _user() -> Variation:
    change = f"user={UNNAMED_USER}"
    changed = f"user {UNNAMED_USER}, who has no name"
    return _changed("user", "user", changed, change, (f"{_FACT}user_id",), needs=_needs_linux(change))


def _home(scratch: Path) -> Variation:
    home = scratch / "another home"
    home.mkdir(parents=True, exist_ok=True)
    names = ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    environment = dict.fromkeys(names, str(home))
    return Variation("user-home", "user", "an empty home", environment=environment, facts=(f"{_FACT}home_sha256",))


def _umask(octal: str) -> Variation:
    def tell() -> str | None:
        return "Windows has none" if os.name == "nt" else None

    name = f"umask-{octal}"
    return _changed(name, "umask", f"umask {octal}", f"umask={octal}", (f"{_FACT}umask",), needs=tell)


def _host_name() -> Variation:
    change = f"host={OTHER_HOST}"
    facts = ("training.host",)
    return _changed("host-name", "host-name", "another host name", change, facts, needs=_needs_linux(change))


def _file_order() -> Variation:
    return Variation(
        "file-order",
        "file-order",
        "folders listed backwards inside Python",
        prelude=_BACKWARDS,
        facts=(f"{_FACT}listing_sha256",),
    )


def _disorderfs(scratch: Path) -> Variation:
    below = scratch / "disordered"
    change = f"disordered={Path(__file__).parents[2]}{os.pathsep}{below}"
    return _changed(
        "file-order-disorderfs",
        "file-order",
        "the package read through disorderfs, backwards",
        change,
        (f"{_FACT}listing_sha256",),
        needs=lambda: _missing_disorderfs(below, change),
    )


def _missing_disorderfs(below: Path, change: str) -> str | None:
    if shutil.which(launcher.DISORDERFS) is None:
        return f"no {launcher.DISORDERFS} here"
    below.mkdir(parents=True, exist_ok=True)
    return _needs_linux(change)()


def _address_randomisation() -> Variation:
    name, change = "address-randomisation", "randomisation=off"
    facts = (f"{_FACT}address_randomisation",)
    return _changed(name, name, "no address randomisation", change, facts, needs=_needs_linux(change))


def _affinity(facts: Mapping[str, Any]) -> Variation:
    cores = fact(facts, f"{_FACT}allowed_cores") or []
    n_threads = fact(facts, "execution.n_threads")
    return Variation(
        "affinity",
        "affinity",
        f"one core for the same threads, not {len(cores)} cores" if len(cores) > 1 else "one core",
        # Left to itself, a run has as many threads as cores; here the cores alone are to change.
        settings=(f"threads={n_threads}",),
        facts=(f"{_FACT}allowed_cores",),
        changes=(f"core={cores[-1]}",) if cores else (),
        unavailable=None if len(cores) > 1 else "this process has one core, or its system does not tell",
    )


def _python_allocator() -> Variation:
    return Variation(
        "allocator-malloc",
        "allocator",
        "PYTHONMALLOC=malloc",
        environment={"PYTHONMALLOC": "malloc"},
        facts=(f"{_FACT}python_allocator",),
    )


def _filled_memory() -> Variation:
    value = str(FRESH_MEMORY_FILL)
    return Variation(
        "allocator-filled",
        "allocator",
        f"MALLOC_PERTURB_={value}: fresh memory is filled",
        environment={"MALLOC_PERTURB_": value},
        facts=(f"{_FACT}fresh_memory",),
        unavailable=None if sys.platform == "linux" else "only Linux can",
    )


def _allocator() -> Variation:
    found = next(filter(None, map(ctypes.util.find_library, ALLOCATORS)), None) if sys.platform == "linux" else None
    return _preloading(
        "allocator-preloaded",
        "allocator",
        f"{found} for malloc" if found else "another malloc",
        found,
        f"none of {', '.join(ALLOCATORS)} here",
        facts=(f"{_FACT}preloaded",),
    )


def _clock(offset: str, name: str) -> Variation:
    return _preloading(
        name,
        "clock",
        f"the clock {offset} off",
        _faketime(),
        "no libfaketime here",
        # Waiting goes by the monotonic clock, which stays as it is.
        environment={"FAKETIME": offset, "DONT_FAKE_MONOTONIC": "1"},
        facts=(f"{_FACT}clock_offset_h",),
    )


def _preloading(
    name: str,
    factor: str,
    changed: str,
    library: str | None,
    missing: str,
    *,
    facts: tuple[str, ...],
    environment: Mapping[str, str] | None = None,
) -> Variation:
    preloaded = [entry for entry in (library, os.environ.get(PRELOAD)) if entry]
    return Variation(
        name,
        factor,
        changed,
        environment={**(environment or {}), PRELOAD: ":".join(preloaded)},
        facts=facts,
        unavailable=None if library else missing,
    )


def _faketime() -> str | None:
    if sys.platform != "linux":
        return None
    folders = [path for root in FAKETIME_FOLDERS for path in (Path(root), *sorted(Path(root).glob("*-linux-*")))]
    candidates = (folder / "faketime" / name for folder in folders for name in FAKETIME_NAMES)
    return next((str(path) for path in candidates if path.is_file()), None)
