"""This tier needs nothing: no test of it may start a process, open a connection or reach libvirt."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import NoReturn

import pytest


class Forbidden(AssertionError):
    """A test of the unit tier did what it may not; it belongs into a tier that costs more."""


def _refuse(what: str) -> object:
    def refused(*_: object, **__: object) -> NoReturn:
        raise Forbidden(f"a unit test must not {what}")

    return refused


@pytest.fixture(autouse=True)
def _nothing_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forbid processes, connections and libvirt while a test of this tier runs."""
    monkeypatch.setattr(subprocess.Popen, "__init__", _refuse("start a process"))
    for name in ("system", "fork", "forkpty", "posix_spawn", "posix_spawnp", "execv", "execve"):
        monkeypatch.setattr(os, name, _refuse("start a process"))
    for name in ("connect", "connect_ex", "bind", "listen", "sendto"):
        monkeypatch.setattr(socket.socket, name, _refuse("open a connection"), raising=False)
    # None makes `import libvirt` fail, also where another tier of the same run has loaded it already.
    for name in ("libvirt", "libvirt_qemu", "libvirtmod"):
        monkeypatch.setitem(sys.modules, name, None)
