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
from collections.abc import Sequence

CHANGES_END = "--"
_PR_SET_PDEATHSIG = 1
_ADDR_NO_RANDOMIZE = 0x0040000
_PERSONALITY_UNCHANGED = 0xFFFFFFFF
_CLONE_NEWUTS, _CLONE_NEWUSER = 0x04000000, 0x10000000


def main(arguments: Sequence[str]) -> None:
    """Apply each change `name=value`, then become the program."""
    parent, *rest = arguments
    end = rest.index(CHANGES_END)
    for change in rest[:end]:
        name, _, value = change.partition("=")
        CHANGES[name](value)
    if sys.platform == "linux":
        _library().prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != int(parent):
            os._exit(1)
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


CHANGES = {
    "umask": set_umask,
    "core": keep_core,
    "randomisation": stop_randomising,
    "host": name_host,
    "user": become_user,
}


def _map_ids(inside_user: int, user: int, inside_group: int, group: int) -> None:
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{inside_user} {user} 1"),
        ("gid_map", f"{inside_group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as stream:  # noqa: PTH123 (quick to start)
            stream.write(text)


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _refused(what: str) -> OSError:
    return OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        raise SystemExit(f"{error.strerror or error}") from None
