"""The name of a sandbox, held in the kernel: no file, no lock to clean up, free at once when the sandbox ends.

A name is a socket in the abstract address space of Linux, bound before the sandbox starts, kept by its first process.
The kernel lets one process bind it, so of two that start the same sandbox one wins. It says who listens, so that the
process needs no searching. A connection is answered once the sandbox is ready, so that waiting needs no polling.
Source: unix(7).
"""

from __future__ import annotations

import errno
import socket
import struct
from pathlib import Path
from typing import NamedTuple

from kvist.errors import Conflict, TimedOut

PREFIX = "kvist-sandbox/"
GREETING = b"ready\n"
UP_WITHIN = 30.0
"""Seconds after which a sandbox that is not ready has failed to start."""


class Holder(NamedTuple):
    """Who holds a name, and whether its sandbox is ready."""

    pid: int
    ready: bool


def reserve(name: str) -> socket.socket | None:
    """Take a name; None when somebody has it."""
    held = socket.socket(socket.AF_UNIX)
    try:
        held.bind(_address(name))
    except OSError as failure:
        held.close()
        if failure.errno == errno.EADDRINUSE:
            return None
        raise
    return held


def holder(name: str, *, wait: float = 0) -> Holder | None:
    """Ask who holds a name; None when nobody does, or when the sandbox is so young that it has no process yet.

    Waits up to `wait` seconds for the sandbox to become ready. Raises Conflict when another user, or a process in a
    container that cannot be seen from here, holds the name.
    """
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(max(wait, 0.5))
        try:
            wire.connect(_address(name))
        except ConnectionRefusedError:
            return None
        except TimeoutError:
            raise TimedOut(f'sandbox "{name}" does not answer', hint=f"kvist sandbox down {name}") from None
        pid, user, _ = struct.unpack("3i", wire.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if user != 0 or pid == 0:
            raise Conflict(f'the name of sandbox "{name}" is taken by a process of user {user} that is no sandbox')
        try:
            return Holder(pid, wire.recv(len(GREETING)) == GREETING)
        except TimeoutError:
            return Holder(pid, False)
        except ConnectionResetError:
            return None


def names() -> list[str]:
    """List the names that are held, sorted. Source: proc(5), /proc/net/unix marks abstract addresses with @."""
    held = set()
    for line in Path("/proc/self/net/unix").read_text().splitlines():
        _, mark, name = line.partition(f" @{PREFIX}")
        if mark:
            held.add(name)
    return sorted(held)


def _address(name: str) -> str:
    return f"\0{PREFIX}{name}"
