"""Who keeps the network of a host over its next boot, and what he is told of a bridge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from kvist.host.hand import Hand
    from kvist.host.net.guard import Words

MARK = "made by kvist"
"""Stands in every file of kvist's, so that people and kvist know them."""


class Kept(NamedTuple):
    """What is to be kept of a bridge."""

    name: str
    ports: tuple[str, ...] = ()
    mac: str = ""
    mtu: int = 0
    stp: bool = False
    vlan_aware: bool = False
    dhcp: bool = False
    addresses: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    carry: str = ""
    """The port whose addresses the bridge takes over: what the manager knows of it counts more than what is above."""
    profile: str = ""
    """Which of several profiles of that port was in force, where the manager has such."""
    iaid: int = 0
    """The number by which a DHCP server knows that port, where the manager would make one up for the bridge."""

    @property
    def mark(self) -> str:
        """What stands at the top of each file: whose it is, and all of this, to be read again when it changes."""
        import json

        return f"{MARK}: {json.dumps(self._asdict())}"


class File(NamedTuple):
    """What a file is to say; empty where it is to be gone."""

    path: str
    text: str
    mode: int = 0o644


class Manager(Protocol):
    """One program that sets a host's network up at boot."""

    name: str
    lacks: tuple[str, ...]
    """What of `Kept` it cannot be told."""

    def owns(self, hand: Hand, port: str) -> bool:
        """Tell whether it sets up the network of this host, or this port of it where one is named."""

    def files(self, hand: Hand, name: str) -> list[str]:
        """List kvist's files about a bridge."""

    def write(self, hand: Hand, kept: Kept) -> list[File]:
        """Work out what its files are to say so that it makes the bridge at the next boot."""

    def remove(self, hand: Hand, name: str) -> list[File]:
        """Work out what its files are to say so that it forgets the bridge, and knows the ports as it did before."""

    def reload(self, hand: Hand, kept: Kept) -> list[Words]:
        """Give the commands by which it takes over at once what its files say."""

    def release(self, hand: Hand, kept: Kept) -> list[Words]:
        """Give the commands by which it takes over at once that its files do not speak of the bridge any more."""


def managers() -> tuple[Manager, ...]:
    """Give all that kvist knows, those first whose word goes before others'."""
    from kvist.host.net.netconf.ifupdown import Ifupdown
    from kvist.host.net.netconf.netplan import Netplan
    from kvist.host.net.netconf.networkd import Networkd
    from kvist.host.net.netconf.networkmanager import NetworkManager

    return (Netplan(), Ifupdown(), NetworkManager(), Networkd())


def owner(hand: Hand, port: str = "") -> Manager | None:
    """Find out who keeps the network of a host, or a port of it; None where nobody does."""
    return next((one for one in managers() if one.owns(hand, port)), None)


def keeper(hand: Hand, name: str) -> Manager | None:
    """Find out who keeps a bridge that kvist made; None where nobody does."""
    return next((one for one in managers() if one.files(hand, name)), None)


def recorded(hand: Hand, manager: Manager, name: str) -> Kept | None:
    """Read from its files what is kept of a bridge; None where kvist keeps nothing of it."""
    import json

    for path in manager.files(hand, name):
        first = (hand.read(path) or "").partition("\n")[0]
        _, mark, text = first.partition(f"{MARK}: ")
        if mark:
            told: Any = json.loads(text)
            flat: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value for key, value in told.items()
            }
            return Kept(**flat)
    return None
