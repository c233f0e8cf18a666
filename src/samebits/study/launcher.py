"""Starts a child as it is to be: changes itself first, then becomes the child, which inherits all of it.

Run as a file of its own, by `python -I -S launcher.py PARENT CHANGE... -- PROGRAM...`, so it imports nothing of ours.
Linux ends a child with the process that started it, if the child asks for it; that is asked last, because becoming
another user takes the wish back. A parent that died before is seen by the child's new one.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence

CHANGES_END = "--"
DISORDERFS = "disorderfs"
_PR_SET_PDEATHSIG = 1
_ADDR_NO_RANDOMIZE = 0x0040000
_PERSONALITY_UNCHANGED = 0xFFFFFFFF
_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWUSER = 0x00020000, 0x04000000, 0x10000000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_MOUNT_LIMIT_S = 10


def main(arguments: Sequence[str]) -> None:
    """Apply each change `name=value`, then become the program."""
    parent, *rest = arguments
    end = rest.index(CHANGES_END)
    for change in rest[:end]:
        name, _, value = change.partition("=")
        CHANGES[name](value)
    if sys.platform == "linux":
        _end_with(int(parent))
    os.execvp(rest[end + 1], rest[end + 1 :])  # noqa: S606


def set_umask(octal: str) -> None:
    """Take these permissions from new files."""
    os.umask(int(octal, 8))


def keep_core(number: str) -> None:
    """Run on one core only."""
    os.sched_setaffinity(0, {int(number)})


def stop_randomising(_: str) -> None:
    """Have the program's addresses laid out in the same way each time."""
    personality = _library().personality
    before = personality(ctypes.c_ulong(_PERSONALITY_UNCHANGED))
    if before < 0 or personality(ctypes.c_ulong(before | _ADDR_NO_RANDOMIZE)) < 0:
        raise _refused("the layout of addresses cannot be fixed")


def name_host(name: str) -> None:
    """Give the host another name, for this process and its children."""
    user, group = os.getuid(), os.getgid()
    if _library().unshare(_CLONE_NEWUTS) < 0:
        # Without the privilege, a user namespace of one's own, in which everybody stays who they are.
        if _library().unshare(_CLONE_NEWUTS | _CLONE_NEWUSER) < 0:
            raise _refused("a host name of one's own is not allowed")
        _map_ids(user, user, group, group)
    socket.sethostname(name)


def become_user(number: str) -> None:
    """Appear as another user, one without a name; files stay within reach, for outside nothing changes."""
    user, group = os.getuid(), os.getgid()
    if _library().unshare(_CLONE_NEWUSER) < 0:
        raise _refused("user namespaces are not allowed")
    _map_ids(int(number), user, int(number), group)


def disorder(folders: str) -> None:
    """Import from a folder as disorderfs shows it, `folder:mount point`: entries in the opposite order.

    The mount is seen by this process and its children alone, and disorderfs ends with them.
    """
    source, _, mount_point = folders.partition(os.pathsep)
    user, group = os.getuid(), os.getgid()
    if _library().unshare(_CLONE_NEWNS) < 0:
        if _library().unshare(_CLONE_NEWNS | _CLONE_NEWUSER) < 0:
            raise _refused("mounts of one's own are not allowed")
        _map_ids(user, user, group, group)
    if _library().mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None) < 0:
        raise _refused("mounts cannot be kept from others")
    parent = os.getpid()
    if os.fork() == 0:
        _end_with(parent)
        os.execvp(DISORDERFS, [DISORDERFS, "-f", "--reverse-dirents=yes", source, mount_point])  # noqa: S606
    deadline_s = time.monotonic() + _MOUNT_LIMIT_S
    while not os.path.ismount(mount_point):
        if time.monotonic() > deadline_s or os.waitpid(-1, os.WNOHANG) != (0, 0):
            raise OSError(f"{DISORDERFS} did not mount {source}")
        time.sleep(0.02)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [mount_point, os.environ.get("PYTHONPATH")]))


CHANGES = {
    "umask": set_umask,
    "core": keep_core,
    "randomisation": stop_randomising,
    "host": name_host,
    "user": become_user,
    "disordered": disorder,
}


def _map_ids(inside_user: int, user: int, inside_group: int, group: int) -> None:
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{inside_user} {user} 1"),
        ("gid_map", f"{inside_group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as stream:  # noqa: PTH123 (quick to start)
            stream.write(text)


def _end_with(parent: int) -> None:
    _library().prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _refused(what: str) -> OSError:
    return OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        raise SystemExit(f"{error.strerror or error}") from None
