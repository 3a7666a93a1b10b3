"""Who listens on the ports of a host."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kvist.host.hand import Hand
    from kvist.values import PortRange

_USER = re.compile(r'\(\("([^"]+)",pid=(\d+)')
ANY = ("*", "0.0.0.0", "[::]", "::")  # noqa: S104 - nothing is bound to it: ss(8) prints it


class Listener(NamedTuple):
    """A process that listens; `address` is `*` where it takes what comes to any."""

    protocol: str
    address: str
    interface: str
    port: int
    process: str
    pid: int

    @property
    def words(self) -> str:
        return f'"{self.process}" (pid {self.pid})' if self.pid else "a process of the kernel or of another user"


def listeners(hand: Hand, ports: PortRange) -> list[Listener]:
    """List who listens on one of these ports, by one call of ss(8)."""
    flag = {"tcp": "-t", "udp": "-u"}[ports.protocol]
    told = hand.run(["ss", "-H", "-l", "-n", "-p", flag]).text.splitlines()
    return [one for line in told if (one := _listener(ports.protocol, line)) and ports.first <= one.port <= ports.last]


def _listener(protocol: str, line: str) -> Listener | None:
    words = line.split()
    if len(words) < 5:
        return None
    where, _, port = words[3].rpartition(":")
    address, _, interface = where.partition("%")
    if not port.isdecimal():
        return None
    user = _USER.search(line)
    return Listener(
        protocol,
        "*" if address in ANY else address.strip("[]"),
        interface,
        int(port),
        user[1] if user else "",
        int(user[2]) if user else 0,
    )
