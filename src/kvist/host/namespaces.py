"""Mounts and namespaces of Linux: what `mount`, `pivot_root` and `setns` do, and who lives in which namespace."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kvist.errors import Denied, Failed, KvistError, NotFound

KINDS = ("mnt", "net", "pid", "uts", "ipc")
"""The namespaces in which a sandbox differs from the machine, by their names in /proc/PID/ns."""

READ_ONLY = 0x1
NO_SUID = 0x2
NO_DEV = 0x4
NO_EXEC = 0x8
_REMOUNT = 0x20
_BIND = 0x1000
_RECURSIVE = 0x4000
_DETACH = 0x2
_NEW_NET = 0x40000000
_IF_UP = 0x1
_GET_IF_FLAGS = 0x8913
_SET_IF_FLAGS = 0x8914


class Mount(NamedTuple):
    """A line of the mount table."""

    point: str
    type: str


def mount(source: str, target: str | Path, type: str, flags: int = 0, options: str = "") -> None:
    """Mount a file system.

    Source: mount(2). Raises Denied without CAP_SYS_ADMIN, Failed for every other refusal of the kernel.
    """
    _call(
        "mount",
        f'cannot mount {type or "bind"} on "{target}"',
        source,
        str(target),
        type,
        ctypes.c_ulong(flags),
        options,
    )


def bind(source: str | Path, target: str | Path, *, read_only: bool = False, recursive: bool = False) -> None:
    """Show a file or a directory at a second place too; `read_only` holds for that place alone."""
    mount(str(source), target, "", _BIND | (_RECURSIVE if recursive else 0))
    if read_only:
        mount("", target, "", _REMOUNT | _BIND | READ_ONLY)


def pivot(root: str | Path, *, old: str) -> None:
    """Make `root`, a mount point, the root of this mount namespace and let go of the old one.

    `old` is an empty directory below `root`, where the old root hangs for a moment.
    """
    os.chdir(root)
    _call("pivot_root", f'cannot make "{root}" the root', ".", old)
    os.chdir("/")
    _call("umount2", "cannot let go of the old root", f"/{old}", _DETACH)


def raise_loopback() -> None:
    """Set the loopback card of this network namespace up: a new namespace has it down."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sH22x", b"lo", 0)
        _, flags = struct.unpack("16sH22x", fcntl.ioctl(any_socket, _GET_IF_FLAGS, asked))
        fcntl.ioctl(any_socket, _SET_IF_FLAGS, struct.pack("16sH22x", b"lo", flags | _IF_UP))


def mounts() -> list[Mount]:
    """List what is mounted in this namespace, in the order in which it was mounted.

    Source: proc(5), /proc/PID/mountinfo; spaces in names stand there as \\040.
    """
    found = []
    with Path("/proc/self/mountinfo").open() as table:
        for line in table:
            mine, _, rest = line.partition(" - ")
            point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), mine.split(" ")[4])
            found.append(Mount(point, rest.split(" ")[0]))
    return found


def identities(pid: int | str = "self") -> frozenset[str]:
    """Give the namespaces of a process, such as `net:[4026532281]`; empty when it is gone or not ours to see."""
    found = set()
    for kind in KINDS:
        try:
            found.add(str(Path(f"/proc/{pid}/ns/{kind}").readlink()))
        except OSError:  # it ended between two look-ups, which is an answer
            continue
    return frozenset(found)


def inhabitants(namespaces: frozenset[str]) -> list[int]:
    """List the processes that live in any of these namespaces; one that has ended and waits for its parent does not."""
    return [pid for pid in processes() if not namespaces.isdisjoint(identities(pid)) and not _is_zombie(pid)]


def processes() -> Iterator[int]:
    """Go through the processes of this machine, in no order."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            yield int(entry.name)


def parent(pid: int) -> int:
    """Give the parent of a process. Raises ProcessLookupError when there is no such process."""
    return int(_status(pid)[1])


def socket_in(pid: int, family: int = socket.AF_INET, type: int = socket.SOCK_STREAM) -> socket.socket:
    """Make a socket inside the network namespace of another process; it stays there, this process does not move.

    Example: `socket_in(sandbox.pid).connect(("192.168.122.7", 22))`.
    Raises NotFound when there is no such process, Denied without CAP_SYS_ADMIN.
    Source: setns(2), which moves one thread.
    """
    from threading import Thread

    made: list[socket.socket] = []
    wrong: list[KvistError | OSError] = []

    def work() -> None:
        try:
            with Path(f"/proc/{pid}/ns/net").open() as namespace:
                _call("setns", f"cannot enter the network of process {pid}", namespace.fileno(), _NEW_NET)
                made.append(socket.socket(family, type))
        except (KvistError, OSError) as failure:
            wrong.append(failure)

    thread = Thread(target=work, name=f"socket in {pid}")
    thread.start()
    thread.join()
    if made:
        return made[0]
    match wrong[0]:
        case FileNotFoundError():
            raise NotFound(f"there is no process {pid}")
        case PermissionError():
            raise Denied(f"may not look into process {pid}", hint="use sudo")
        case failure:
            raise failure


def _is_zombie(pid: int) -> bool:
    try:
        return _status(pid)[0] in "ZX"
    except ProcessLookupError:
        return True


def _status(pid: int) -> list[str]:
    """Give the fields of /proc/PID/stat from the third on: the second, a name in parentheses, may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None


def _call(function: str, trouble: str, *arguments: str | int | ctypes.c_ulong) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*(os.fsencode(one) if isinstance(one, str) else one for one in arguments)) == 0:
        return
    code = ctypes.get_errno()
    if code in (errno.EPERM, errno.EACCES):
        raise Denied(f"{trouble}: {os.strerror(code)}", hint="namespaces and mounts need root: use sudo")
    raise Failed(f"{trouble}: {os.strerror(code)}")
