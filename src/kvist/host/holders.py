"""Who holds the ports of a host."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kvist.host.hand import Hand


class Holder(NamedTuple):
    """A port that a process holds. `address` is `*` for all; `dev` is the one interface it is bound to, if it is."""

    proto: str
    address: str
    dev: str
    port: int
    process: str
    pid: int

    def holds(self, address: str, dev: str = "") -> bool:
        """Tell whether packets to this address, coming in by this interface, are its own."""
        return self.address in ("*", "0.0.0.0", "::", address) and self.dev in ("", dev)  # noqa: S104


def holders(hand: Hand) -> list[Holder]:
    """List who listens for TCP and UDP, in one call of ss(8); the names of processes are root's to see."""
    return parse(hand.run(["ss", "-H", "-l", "-n", "-t", "-u", "-p"]).text)


def parse(text: str) -> list[Holder]:
    """Read what `ss -H -lntup` printed."""
    found = []
    for line in text.splitlines():
        words = line.split(None, 6)
        if len(words) < 5:
            continue
        proto, place = words[0], words[4]
        address, _, port = place.rpartition(":")
        address, _, dev = address.strip("[]").partition("%")
        holder = re.search(r'\("([^"]+)",pid=(\d+)', line)
        name, pid = (holder[1], int(holder[2])) if holder else ("", 0)
        found.append(Holder(proto, address.strip("[]"), dev.strip("]"), int(port), name, pid))
    return found
