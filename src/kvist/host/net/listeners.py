"""Who listens on the ports of a host."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kvist.host.hand import Hand

_USER = re.compile(r'\(\("([^"]+)",pid=(\d+)')
ANY = ("*", "0.0.0.0", "[::]", "::")  # noqa: S104 - nothing is bound to it: ss(8) prints it


class Listener(NamedTuple):
    """A process that listens; `address` is `*` where it takes what comes to any, `interface` empty for all."""

    protocol: str
    address: str
    interface: str
    port: int
    process: str
    pid: int

    @property
    def words(self) -> str:
        return f'"{self.process}" (pid {self.pid})' if self.pid else "a process of the kernel or of another user"

    def hears(self, address: str, interface: str = "") -> bool:
        """Tell whether packets to this address, coming in by this interface, are its own."""
        return self.address in ("*", address) and self.interface in ("", interface)


def listeners(hand: Hand) -> list[Listener]:
    """List who listens for TCP and UDP, by one call of ss(8); the names of processes are root's to see."""
    return parse(hand.run(["ss", "-H", "-l", "-n", "-t", "-u", "-p"]).text)


def parse(text: str) -> list[Listener]:
    """Read what `ss -H -l -n -t -u -p` printed."""
    return [one for line in text.splitlines() if (one := _listener(line)) is not None]


def _listener(line: str) -> Listener | None:
    words = line.split(None, 6)
    if len(words) < 5:
        return None
    where, _, port = words[4].rpartition(":")
    address, _, interface = where.strip("[]").partition("%")
    address = address.strip("[]")
    if not port.isdecimal():
        return None
    user = _USER.search(line)
    return Listener(
        words[0],
        "*" if address in ANY else address,
        interface.strip("]"),
        int(port),
        user[1] if user else "",
        int(user[2]) if user else 0,
    )
