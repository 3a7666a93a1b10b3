"""The way from this machine to guests: straight, by a sandbox's network, or through a host that is reached by ssh."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from kvist.errors import TimedOut
from kvist.resources.reaching.forwarding import split

if TYPE_CHECKING:
    import socket

    from kvist.resources.hosts.host import Place

_LINES = 64 << 10


class Route:
    """How guests of a host are reached from here."""

    def __init__(self, place: Place) -> None:
        self.place = place

    @property
    def prefix(self) -> list[str]:
        """What stands before a command that is to talk to a guest, so that it runs in the guests' network."""
        return self.place.sandbox.network_prefix if self.place.sandbox else []

    @property
    def proxy(self) -> list[str]:
        """The ProxyCommand of ssh_config(5) that leads on from the host, where guests are behind another one."""
        return ["ssh", *self.login, "-W", "[%h]:%p"] if self.place.ssh else []

    @property
    def lasting_proxy(self) -> list[str]:
        """A ProxyCommand that is right tomorrow too, for a file: a sandbox is found by its name every time."""
        if self.place.sandbox:
            import sys

            return [sys.executable, "-m", "kvist.sandbox.wire", self.place.sandbox.name, "%h", "%p"]
        return self.proxy

    def dial(self, address: str, port: int, timeout: float) -> socket.socket:
        """Open a TCP connection to a guest. Raises OSError as a socket does."""
        address, port = split(address, port)
        if self.place.sandbox:
            return self.place.sandbox.connect(address, port, timeout=timeout)
        import socket

        return socket.create_connection((address, port), timeout=timeout)

    def answers(self, address: str, timeout: float = 1) -> bool | None:
        """Tell whether somebody is at an address now: a refusal is an answer too. None where that cannot be tried."""
        if self.place.ssh:
            return None
        try:
            self.dial(address, 22, timeout).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return True

    def greets(self, address: str, port: int = 22, timeout: float = 3) -> bool:
        """Tell whether an ssh server greets there; an open port alone may be one that is only just starting."""
        if self.place.ssh:
            return self._greets_far(address, port, timeout)
        end = time.monotonic() + timeout
        try:
            with self.dial(address, port, timeout) as wire:
                seen = b""
                # RFC 4253, 4.2: a server may send other lines before its version.
                while not _greeting(seen) and len(seen) < _LINES and (left := end - time.monotonic()) > 0:
                    wire.settimeout(left)
                    piece = wire.recv(256)
                    if not piece:
                        break
                    seen += piece
                greeted = _greeting(seen)
                if greeted:
                    # A server logs a client that hangs up without a word, some of them as an attack.
                    with suppress(OSError):
                        wire.sendall(b"SSH-2.0-kvist\r\n")
                return greeted
        except OSError:
            return False

    def _greets_far(self, address: str, port: int, timeout: float) -> bool:
        from kvist.host.run import run

        address, port = split(address, port)
        argv = ["ssh", "-o", "BatchMode=yes", *self.login, "-W", f"[{address}]:{port}"]
        try:
            return _greeting(run(argv, timeout=timeout + 5, check=False).out)
        except TimedOut:
            return False

    @property
    def login(self) -> list[str]:
        """Give the words that log in to the host."""
        from kvist.host.login import words

        return words(self.place.uri)


def _greeting(seen: bytes) -> bool:
    return re.search(rb"^SSH-", seen, re.MULTILINE) is not None
